//! Tracks whether the observer itself can reach the hub. Only then does the silence of others count.
//!
//! No replica can renew while the API server is down. Counting that as silence would declare live members dead.

use std::time::Duration;

/// The observer's own Lease writes, on its monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnWrites {
    since: Option<Duration>,
    last: Option<Duration>,
}

impl OwnWrites {
    /// Records a response at `now`; a conflict is one too. `longest_gap` is as for [`Self::unbroken_since`].
    pub fn succeeded(&mut self, now: Duration, longest_gap: Duration) {
        if self.unbroken_since(now, longest_gap).is_none() {
            self.since = Some(now);
        }
        self.last = Some(now);
    }

    /// Records an error or time-out: every member gets a full Lease duration again, from the next success on.
    pub fn failed(&mut self) {
        *self = Self::default();
    }

    /// Time since which every write succeeded; silence counts from then on. `None` after a failure, and if no write
    /// ended for `longest_gap` (renew interval plus request time-out): then this process was suspended and hasn't yet
    /// observed the other members.
    pub fn unbroken_since(&self, now: Duration, longest_gap: Duration) -> Option<Duration> {
        let last = self.last?;
        self.since.filter(|_| now.saturating_sub(last) <= longest_gap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAP: Duration = Duration::from_secs(6);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_counts_from_the_first_success_after_a_failure() {
        let mut writes = OwnWrites::default();
        assert_eq!(writes.unbroken_since(at(0), GAP), None);
        writes.succeeded(at(1), GAP);
        writes.succeeded(at(4), GAP);
        assert_eq!(writes.unbroken_since(at(5), GAP), Some(at(1)));
        writes.failed();
        assert_eq!(writes.unbroken_since(at(6), GAP), None);
        writes.succeeded(at(9), GAP);
        assert_eq!(writes.unbroken_since(at(9), GAP), Some(at(9)));
    }

    #[test]
    fn suspended_process_starts_over() {
        let mut writes = OwnWrites::default();
        writes.succeeded(at(1), GAP);
        assert_eq!(writes.unbroken_since(at(7), GAP), Some(at(1)));
        assert_eq!(writes.unbroken_since(at(8), GAP), None);
        writes.succeeded(at(30), GAP);
        assert_eq!(writes.unbroken_since(at(30), GAP), Some(at(30)));
    }
}
