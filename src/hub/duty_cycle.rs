//! Throttles low-priority writes so that the hub keeps capacity for urgent ones.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

/// Upper bound of the pause: a hub that takes longer has failed rather than been busy.
const MAX_REST: Duration = Duration::from_secs(1);

/// Time after which the permit is released although the work goes on: a hub that hangs on Events must not delay
/// statuses.
const MAX_HOLD: Duration = Duration::from_secs(1);

/// Runs one piece of work at a time, and pauses after each for as long as it took. The busier the hub, the less it gets
/// of this work.
#[derive(Debug)]
pub struct DutyCycle(Semaphore);

impl Default for DutyCycle {
    fn default() -> Self {
        Self(Semaphore::new(1))
    }
}

impl DutyCycle {
    /// Waits for the permit, runs `work`, and pauses.
    pub(super) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        // The semaphore is never closed, so this always succeeds.
        let permit = self.0.acquire().await.ok();
        let started = Instant::now();
        let mut work = pin!(work);
        let (output, _permit) = match timeout(MAX_HOLD, &mut work).await {
            Ok(output) => (output, permit),
            Err(_) => {
                drop(permit);
                (work.await, None)
            }
        };
        sleep(started.elapsed().min(MAX_REST)).await;
        output
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pause_is_as_long_as_the_work_up_to_a_limit() {
        let duty_cycle = DutyCycle::default();
        let took = async |millis| {
            let started = Instant::now();
            duty_cycle.run(sleep(Duration::from_millis(millis))).await;
            started.elapsed()
        };
        assert_eq!(took(30).await, Duration::from_millis(60));
        assert_eq!(took(9_000).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn hanging_work_delays_the_next_up_to_a_limit() {
        let (duty_cycle, started) = (DutyCycle::default(), Instant::now());
        let next = async {
            tokio::task::yield_now().await;
            duty_cycle.run(async {}).await;
            started.elapsed()
        };
        let (_, next) = tokio::join!(duty_cycle.run(sleep(Duration::from_secs(3))), next);
        assert_eq!((next, started.elapsed()), (MAX_HOLD, Duration::from_secs(4)));
    }

    #[tokio::test(start_paused = true)]
    async fn work_runs_one_at_a_time() {
        let (duty_cycle, started) = (DutyCycle::default(), Instant::now());
        let work = || duty_cycle.run(async { sleep(Duration::from_millis(30)).await });
        tokio::join!(work(), work());
        assert!(started.elapsed() >= Duration::from_millis(120), "{:?}", started.elapsed());
    }
}
