//! Detects targets whose retained memory grows fast.
//!
//! A replica killed for its memory dies of a target that grew, long after the first check of that target. So a growing
//! target is marked on the Lease like one in its first check: see [`first_check`](super::first_check).

use std::time::Duration;

/// Growth in bytes within the window that is beyond ordinary changes.
const LIMIT: usize = 2 * 1024 * 1024;
const WINDOW: Duration = Duration::from_secs(60);

/// The retained bytes of one target at the start of the window.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    base: usize,
    since: Duration,
}

impl Growth {
    /// `now` is on any monotonic clock.
    pub fn new(bytes: usize, now: Duration) -> Self {
        Self { base: bytes, since: now }
    }

    /// Records the present size. Returns whether the target has grown by more than the limit in this window.
    pub fn note(&mut self, bytes: usize, now: Duration) -> bool {
        if now.saturating_sub(self.since) > WINDOW || bytes < self.base {
            *self = Self::new(bytes, now);
        }
        bytes > self.base + LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fast_growth_counts() {
        let at = Duration::from_secs;
        let mut growth = Growth::new(100_000, at(0));
        assert!(!growth.note(LIMIT, at(1)));
        assert!(growth.note(LIMIT * 2, at(2)) && growth.note(LIMIT * 3, at(60)));
        assert!(!growth.note(LIMIT * 3, at(61)), "it has stopped");
        assert!(!growth.note(LIMIT * 4, at(90)) && !growth.note(LIMIT * 5, at(160)), "slowly");
        assert!(!growth.note(0, at(161)), "it was freed");
        assert!(growth.note(LIMIT + 1, at(162)));
    }
}
