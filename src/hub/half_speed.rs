//! Leaving the hub time for what is more urgent.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

/// The longest rest: a hub that takes longer has failed rather than been busy.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Does one thing at a time, and after each rests as long as it took. What is written so gives way by itself: the
/// busier the hub, the less of it.
#[derive(Debug)]
pub struct HalfSpeed(Semaphore);

impl Default for HalfSpeed {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl HalfSpeed {
    /// Waits for its turn, does `work`, and rests.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // Never closed, so always got.
        let _turn = self.0.acquire().await.ok();
        let begun = Instant::now();
        let done = work.await;
        sleep(begun.elapsed().min(LONGEST_REST)).await;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_as_long_as_the_work_but_not_endless() {
        let half_speed = HalfSpeed::default();
        let took = async |millis| {
            let begun = Instant::now();
            half_speed.run(sleep(Duration::from_millis(millis))).await;
            begun.elapsed()
        };
        assert_eq!(took(30).await, Duration::from_millis(60));
        assert_eq!(took(9_000).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_thing_at_a_time() {
        let (half_speed, begun) = (HalfSpeed::default(), Instant::now());
        let work = || half_speed.run(async { sleep(Duration::from_millis(30)).await });
        tokio::join!(work(), work());
        assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());
    }
}
