//! How many rounds run at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::targets::FAILING_PLACES;

/// Bounds the rounds under way. Targets that failed last have places of their own, so that a fleet of which a fifth
/// hangs checks the rest in time, and says of that fifth in time that it hangs.
#[derive(Debug)]
pub struct Budget {
    sound: Semaphore,
    failing: Semaphore,
    secrets: Semaphore,
}

/// Secrets that are read from the hub at a time. A start of thousands of targets must not keep Leases waiting.
const SECRET_READS: usize = 8;

impl Budget {
    pub fn new(rounds: usize) -> Self {
        Self {
            sound: Semaphore::new(rounds.max(1)),
            failing: Semaphore::new(rounds.max(1) * FAILING_PLACES),
            secrets: Semaphore::new(SECRET_READS),
        }
    }

    /// Waits for leave to read a Secret.
    pub async fn secret_read(&self) -> Option<SemaphorePermit<'_>> {
        self.secrets.acquire().await.ok()
    }

    /// Waits for a place. None only if the budget was closed, which nobody does.
    pub async fn enter(&self, failing: bool) -> Option<SemaphorePermit<'_>> {
        let places = if failing { &self.failing } else { &self.sound };
        places.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn failing_targets_take_no_place_of_the_others_and_are_bounded_too() {
        let budget = Budget::new(2);
        let hanging = join_all((0..2 * FAILING_PLACES).map(|_| budget.enter(true))).await;
        assert!(budget.enter(true).now_or_never().is_none(), "one more waits");
        let healthy = [budget.enter(false).await, budget.enter(false).await];
        assert!(budget.enter(false).now_or_never().is_none(), "the third waits");
        drop((hanging, healthy));
        assert!(budget.enter(true).now_or_never().is_some());
    }
}
