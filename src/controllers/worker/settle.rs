//! Gathers changes of Integrations before they are handed to all targets: hundreds may be applied together.

use std::time::Duration;

use tokio::time::Instant;

/// After the first change.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(2);

/// So many times as long as telling them took last, so that it stays a tenth of the work.
const OF_WORK: u32 = 10;

pub(super) struct Settle {
    due: Option<Instant>,
    gap: Duration,
}

impl Default for Settle {
    fn default() -> Self {
        Self { due: None, gap: SHORTEST }
    }
}

impl Settle {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// An Integration changed.
    pub(super) fn changed(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + self.gap);
    }

    /// There is nothing to wait for.
    pub(super) fn at_once(&mut self) {
        self.due = Some(Instant::now());
    }

    /// All targets have their new assignments, which took so long.
    pub(super) fn done(&mut self, took: Duration) {
        *self = Self { due: None, gap: (took * OF_WORK).clamp(SHORTEST, LONGEST) };
    }
}
