//! Something that happens at a rate.

use std::time::Duration;

use tokio::time::Instant;

/// Occasions at a rate, one after the other.
pub(super) struct Rhythm {
    /// `None`: never.
    pause: Option<Duration>,
    number: u32,
}

impl Rhythm {
    pub(super) fn new(per_second: f64) -> Self {
        Self { pause: (per_second > 0.0).then(|| Duration::from_secs_f64(1.0 / per_second)), number: 0 }
    }

    /// The time of the next occasion, counted from `start`.
    pub(super) fn due(&self, start: Instant) -> Instant {
        const NEVER: Duration = Duration::from_secs(3600);
        start + self.pause.map_or(NEVER, |pause| pause * self.number)
    }

    /// Whether an occasion has come; it then counts as past.
    pub(super) fn is_due(&mut self, start: Instant) -> bool {
        let is_due = self.due(start) <= Instant::now();
        self.number += u32::from(is_due);
        is_due
    }
}
