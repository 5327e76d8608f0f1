//! Debounces changes of Integrations before all targets are reassigned: hundreds may be applied together.

use std::time::Duration;

use tokio::time::Instant;

/// Bounds of the delay after the first change.
const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// The delay as a multiple of the last reassignment's duration, to keep reassigning at a tenth of the worker's time.
const DUTY_FACTOR: u32 = 10;

pub(super) struct Debounce {
    due: Option<Instant>,
    delay: Duration,
}

impl Default for Debounce {
    fn default() -> Self {
        Self { due: None, delay: SHORTEST_DELAY }
    }
}

impl Debounce {
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// An Integration changed.
    pub(super) fn trigger(&mut self) {
        self.due.get_or_insert_with(|| Instant::now() + self.delay);
    }

    /// Skips the delay.
    pub(super) fn trigger_now(&mut self) {
        self.due = Some(Instant::now());
    }

    /// All targets are reassigned, which took `took`.
    pub(super) fn finished(&mut self, took: Duration) {
        *self = Self { due: None, delay: (took * DUTY_FACTOR).clamp(SHORTEST_DELAY, LONGEST_DELAY) };
    }
}
