//! Leaving the hub time for what is more urgent.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// The longest rest: a hub that takes longer has failed rather than been busy.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// Does `work`, then rests as long as it took. What is written so, one after the other, gives way by itself: the busier
/// the hub, the less of it.
pub(super) async fn at_half_speed<T>(work: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let done = work.await;
    sleep(begun.elapsed().min(LONGEST_REST)).await;
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rest_is_as_long_as_the_work_but_not_endless() {
        let took = async |millis| {
            let begun = Instant::now();
            at_half_speed(sleep(Duration::from_millis(millis))).await;
            begun.elapsed()
        };
        assert_eq!(took(30).await, Duration::from_millis(60));
        assert_eq!(took(9_000).await, Duration::from_secs(10));
    }
}
