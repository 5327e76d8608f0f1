//! Whether the observer itself can reach the hub: only then does the silence of others mean anything.
//!
//! While the API server is down nobody can renew. Whoever counted that as silence would declare live members dead.

use std::time::Duration;

/// The observer's own Lease writes, on its monotonic clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnWrites {
    since: Option<Duration>,
    last: Option<Duration>,
}

impl OwnWrites {
    /// An answer came, at `now`. A conflict is an answer too. `longest_gap` is as for [`Self::unbroken_since`].
    pub fn succeeded(&mut self, now: Duration, longest_gap: Duration) {
        if self.unbroken_since(now, longest_gap).is_none() {
            self.since = Some(now);
        }
        self.last = Some(now);
    }

    /// An error or a time-out: everybody gets a full duration again, counted from the next success.
    pub fn failed(&mut self) {
        *self = Self::default();
    }

    /// Since when every write succeeded; silence counts from there. `None` while it doesn't count: after a failure,
    /// and also where no write ended for `longest_gap` (renew interval and request time-out together), because then
    /// this process stood still and hasn't yet seen what the others did.
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
    fn a_process_that_stood_still_begins_anew() {
        let mut writes = OwnWrites::default();
        writes.succeeded(at(1), GAP);
        assert_eq!(writes.unbroken_since(at(7), GAP), Some(at(1)));
        assert_eq!(writes.unbroken_since(at(8), GAP), None);
        writes.succeeded(at(30), GAP);
        assert_eq!(writes.unbroken_since(at(30), GAP), Some(at(30)));
    }
}
