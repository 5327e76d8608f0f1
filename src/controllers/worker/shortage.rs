//! Logs a resource shortage of this replica once a minute: thousands of targets hit it together.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::reason::Failure;

const WARN_INTERVAL: Duration = Duration::from_secs(60);

/// Rounds that could not start.
#[derive(Debug, Default)]
pub struct Shortage(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    last_warning: Option<Instant>,
    /// Since the last warning.
    rounds: u64,
}

impl Shortage {
    pub(super) fn warn(&self, failure: &Failure) {
        if let Some(rounds) = self.count(Instant::now()) {
            let Failure { reason, message } = failure;
            tracing::warn!(%reason, message, rounds, "this replica is out of file descriptors or DNS look-ups: \
                clusters are not checked and their statuses go stale; raise its limits or add replicas");
        }
    }

    /// Counts a round. Returns the number since the last warning if another one is due.
    fn count(&self, now: Instant) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        window.rounds += 1;
        if window.last_warning.is_some_and(|last| now.duration_since(last) < WARN_INTERVAL) {
            return None;
        }
        window.last_warning = Some(now);
        Some(std::mem::take(&mut window.rounds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortage_is_logged_once_a_minute() {
        let (shortage, start) = (Shortage::default(), Instant::now());
        let at = |seconds| shortage.count(start + Duration::from_secs(seconds));
        assert_eq!([at(0), at(1), at(59), at(60), at(61)], [Some(1), None, None, Some(3), None]);
    }
}
