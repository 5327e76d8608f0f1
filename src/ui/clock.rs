//! The hub's time, as this machine's clock may be off.

use jiff::{SignedDuration, Timestamp};

/// The hub's clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct HubClock {
    /// The hub's clock minus this machine's.
    offset: SignedDuration,
}

impl HubClock {
    pub(super) fn new(offset: SignedDuration) -> Self {
        Self { offset }
    }

    /// The time on the hub.
    pub(super) fn now(self) -> Timestamp {
        let own = Timestamp::now();
        own.saturating_add(self.offset).unwrap_or(own)
    }
}
