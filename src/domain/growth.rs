//! Whether a target makes its replica keep ever more.
//!
//! A replica that dies of memory dies of what grew, long after the first check of that target. So a target that grows is
//! marked on the Lease as one that is read for the first time is: see [`first_check`](super::first_check).

use std::time::Duration;

/// So many bytes more within the window are no ordinary change.
const GROWS: usize = 2 * 1024 * 1024;
const WINDOW: Duration = Duration::from_secs(60);

/// The bytes kept of one target when the window began.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    base: usize,
    since: Duration,
}

impl Growth {
    /// `now` is of any clock that only goes forward.
    pub fn new(bytes: usize, now: Duration) -> Self {
        Self { base: bytes, since: now }
    }

    /// Whether it has grown much in this window, with so many bytes now.
    pub fn note(&mut self, bytes: usize, now: Duration) -> bool {
        if now.saturating_sub(self.since) > WINDOW || bytes < self.base {
            *self = Self::new(bytes, now);
        }
        bytes > self.base + GROWS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fast_growth_counts() {
        let at = Duration::from_secs;
        let mut growth = Growth::new(100_000, at(0));
        assert!(!growth.note(GROWS, at(1)));
        assert!(growth.note(GROWS * 2, at(2)) && growth.note(GROWS * 3, at(60)));
        assert!(!growth.note(GROWS * 3, at(61)), "it has stopped");
        assert!(!growth.note(GROWS * 4, at(90)) && !growth.note(GROWS * 5, at(160)), "slowly");
        assert!(!growth.note(0, at(161)), "it was let go");
        assert!(growth.note(GROWS + 1, at(162)));
    }
}
