//! Warns of a shortage of this replica, once a minute: thousands of targets meet it together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::reason::Failure;

const TOLD_EVERY: Duration = Duration::from_secs(60);

/// Rounds that could not begin.
#[derive(Debug, Default)]
pub struct Shortage(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    last: Option<Instant>,
    /// Since then.
    rounds: u64,
}

impl Shortage {
    pub(super) fn tell(&self, failure: &Failure) {
        if let Some(rounds) = self.count(Instant::now()) {
            let Failure { reason, message } = failure;
            tracing::warn!(%reason, message, rounds, "this replica is short of file descriptors or look-ups: \
                clusters are not asked, and their statuses age");
        }
    }

    /// How many there were, when it is time to tell.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.rounds += 1;
        if told.last.is_some_and(|last| now.duration_since(last) < TOLD_EVERY) {
            return None;
        }
        told.last = Some(now);
        Some(std::mem::take(&mut told.rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_told_once_a_minute() {
        let (shortage, start) = (Shortage::default(), Instant::now());
        let at = |seconds| shortage.count(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [Some(1), None, None, Some(3), None]);
    }
}
