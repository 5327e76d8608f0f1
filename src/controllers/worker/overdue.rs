//! The time at which a target's observation is overdue: set by its task, read with each heartbeat.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A round is overdue after this many times the delay until it was due.
const GRACE: u32 = 2;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since the process started.
#[derive(Debug, Default)]
pub struct Overdue(AtomicU64);

impl Overdue {
    /// The target was observed now and is due again after `next`.
    pub(super) fn set(&self, next: Duration) {
        self.0.store(since_start().saturating_add(milliseconds(next * GRACE)), Ordering::Relaxed);
    }

    pub(super) fn is_past(&self) -> bool {
        since_start() > self.0.load(Ordering::Relaxed)
    }
}

fn since_start() -> u64 {
    milliseconds(START.elapsed())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_is_overdue_after_twice_the_delay() {
        let overdue = Overdue::default();
        overdue.set(Duration::from_secs(60));
        assert!(!overdue.is_past());
        overdue.set(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(5));
        assert!(overdue.is_past());
    }
}
