//! Whether this replica may write at this very moment.

use tokio::sync::watch;

use crate::domain::claim::Claim;
use crate::hub::{Clock, PROMPT_TIMEOUT};

/// Asked before every write of the coordinator. Never kept as an answer: a process that stood still would go on
/// believing it.
#[derive(Clone)]
pub struct WriteFence {
    leading: watch::Receiver<Option<Claim>>,
    clock: Clock,
}

impl WriteFence {
    pub fn new(leading: watch::Receiver<Option<Claim>>, clock: Clock) -> Self {
        Self { leading, clock }
    }

    /// Whether a write that is sent now ends, one way or the other, while the claim is valid.
    pub fn may_write(&self) -> bool {
        self.leading.borrow().is_some_and(|claim| claim.covers(self.clock.now(), PROMPT_TIMEOUT))
    }
}
