//! The one clock that leases, claims and silence are judged by.

use std::time::Duration;

use tokio::time::Instant;

/// Monotonic time since the process began. Decisions take it as a `Duration`; what is written in a Lease is never
/// compared with it.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// When `time` of this clock is, for a timer.
    pub fn at(self, time: Duration) -> Instant {
        self.0.checked_add(time).unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }
}
