//! Leaving the hub time for what is more urgent.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// The longest rest: a hub that takes longer has failed rather than been busy.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// The longest time for which one thing keeps the others waiting: a hub that hangs on Events must not delay statuses.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// Does one thing at a time, and after each rests as long as it took. What is written so gives way by itself: the
/// busier the hub, the less of it.
#[derive(Debug)]
pub struct DutyCycle(Semaphore);

impl Default for DutyCycle {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl DutyCycle {
    /// Waits for its turn, does `work`, and rests.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // Never closed, so always got.
        let turn = self.0.acquire().await.ok();
        let begun = Instant::now();
        let mut work = pin!(work);
        let (done, _turn) = match timeout(LONGEST_TURN, &mut work).await {
            Ok(done) => (done, turn),
            Err(_) => {
                drop(turn);
                (work.await, None)
            }
        };
        sleep(begun.elapsed().min(LONGEST_REST)).await;
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_as_long_as_the_work_but_not_endless() {
        let duty_cycle = DutyCycle::default();
        let took = async |millis| {
            let begun = Instant::now();
            duty_cycle.run(sleep(Duration::from_millis(millis))).await;
            begun.elapsed()
        };
        assert_eq!(took(30).await, Duration::from_millis(60));
        assert_eq!(took(9_000).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_work_delays_the_next_by_one_turn() {
        let (duty_cycle, begun) = (DutyCycle::default(), Instant::now());
        let next = async {
            tokio::task::yield_now().await;
            duty_cycle.run(async {}).await;
            begun.elapsed()
        };
        let (_, next) = tokio::join!(duty_cycle.run(sleep(Duration::from_secs(3))), next);
        assert_eq!((next, begun.elapsed()), (LONGEST_TURN, Duration::from_secs(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_one_thing_at_a_time() {
        let (duty_cycle, begun) = (DutyCycle::default(), Instant::now());
        let work = || duty_cycle.run(async { sleep(Duration::from_millis(30)).await });
        tokio::join!(work(), work());
        assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());
    }
}
