//! Measures monotonic time for leases, claims and silence.

use std::time::Duration;

use tokio::time::Instant;

/// Monotonic time since the process started. Decisions take it as a `Duration`; it is never compared with the times in
/// a Lease.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now(self) -> Duration {
        self.0.elapsed()
    }

    /// Converts `time` of this clock to an `Instant`, for a timer.
    pub fn at(self, time: Duration) -> Instant {
        self.0.checked_add(time).unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }
}
