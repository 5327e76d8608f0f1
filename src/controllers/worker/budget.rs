//! How many rounds run at a time.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Bounds the rounds under way; targets that fail now get at most 30 % of it, so that a fleet of which a fifth hangs
/// still checks the rest in time.
#[derive(Debug)]
pub struct Budget {
    all: Semaphore,
    failing: Semaphore,
    secrets: Semaphore,
}

/// Secrets that are read from the hub at a time. A start of thousands of targets must not keep Leases waiting.
const SECRET_READS: usize = 8;

impl Budget {
    pub fn new(rounds: usize) -> Self {
        Self {
            all: Semaphore::new(rounds.max(1)),
            failing: Semaphore::new((rounds * 3 / 10).max(1)),
            secrets: Semaphore::new(SECRET_READS),
        }
    }

    /// Waits for leave to read a Secret.
    pub async fn secret_read(&self) -> Option<SemaphorePermit<'_>> {
        self.secrets.acquire().await.ok()
    }

    /// Waits for a place. None only if the budget was closed, which nobody does.
    pub async fn enter(&self, failing: bool) -> Option<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>)> {
        let narrow = match failing {
            true => Some(self.failing.acquire().await.ok()?),
            false => None,
        };
        Some((narrow, self.all.acquire().await.ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn failing_targets_leave_room_for_the_others() {
        let budget = Budget::new(10);
        let hanging = [budget.enter(true).await, budget.enter(true).await, budget.enter(true).await];
        assert!(futures::FutureExt::now_or_never(budget.enter(true)).is_none(), "the fourth waits");
        assert!(futures::FutureExt::now_or_never(budget.enter(false)).is_some(), "a healthy one does not");
        drop(hanging);
        assert!(futures::FutureExt::now_or_never(budget.enter(true)).is_some());
    }
}
