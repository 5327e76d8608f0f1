//! When a target should have been looked at again: told by its task, read with each heartbeat.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A round is overdue when it has not ended so long after it was due, in parts of the time between rounds.
const GRACE: u32 = 2;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A moment, in milliseconds since the process began.
#[derive(Debug, Default)]
pub struct Overdue(AtomicU64);

impl Overdue {
    /// Looked at just now; due again after `next`.
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
    fn what_is_not_looked_at_again_is_overdue_after_a_while() {
        let overdue = Overdue::default();
        overdue.set(Duration::from_secs(60));
        assert!(!overdue.is_past());
        overdue.set(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(5));
        assert!(overdue.is_past());
    }
}
