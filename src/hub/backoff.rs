//! Backs off after errors and conflicts on the hub.

use std::time::Duration;

use futures::{Stream, StreamExt, future};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::Result;
use tokio::time::Instant;

use super::relist::is_unknown_version;
use crate::domain::backoff;

/// Far shorter than kube's default of up to a minute: after an outage there is no leader, and no replica has its shard,
/// until the last of these watches is back. A replica has a handful of them.
const PAUSES: backoff::Backoff =
    backoff::Backoff { first: Duration::from_millis(200), longest: Duration::from_secs(3), spread: 0.5 };

/// The backoff starts over if the last error is older than this.
const RESET_AFTER: Duration = Duration::from_secs(30);

/// Pauses after each error of a watch. The first "unknown resourceVersion" error, as sent by a restarted API server, is
/// dropped without a pause: the immediate relist delivers the missed events.
pub(super) fn with_backoff<E>(events: impl Stream<Item = Result<E>>) -> impl Stream<Item = Result<E>> {
    let mut listed_at: Option<Instant> = None;
    let is_reported = move |event: &Result<E>| {
        let is_unknown = matches!(event, Err(error) if is_unknown_version(error));
        let is_repeated = listed_at.is_some_and(|at| at.elapsed() <= RESET_AFTER);
        if is_unknown && !is_repeated {
            listed_at = Some(Instant::now());
        }
        future::ready(!is_unknown || is_repeated)
    };
    events.filter(is_reported).backoff(WatchBackoff::default())
}

/// Returns a random pause for after another process wrote the object, which may be about to do so again.
pub fn conflict_pause() -> Duration {
    backoff::jittered(Duration::from_millis(300), 0.5, rand::random())
}

/// Counts the errors of a watch.
#[derive(Debug, Default)]
struct WatchBackoff {
    errors: u32,
    last_error: Option<Instant>,
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last_error.is_some_and(|last| last.elapsed() > RESET_AFTER) {
            self.errors = 0;
        }
        self.last_error = Some(Instant::now());
        let pause = PAUSES.delay(self.errors, rand::random());
        self.errors = self.errors.saturating_add(1);
        Some(pause)
    }
}

impl Backoff for WatchBackoff {
    /// Called after every event that is no error. A restarting watch emits `Init` before its first request, which would
    /// reset the backoff each time; so only elapsed time resets it.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_stays_between_minimum_and_maximum() {
        let waits: Vec<Duration> = WatchBackoff::default().take(20).collect();
        assert!(waits[0] >= PAUSES.first / 2 && waits[0] <= PAUSES.first);
        assert!(waits.iter().all(|wait| *wait <= PAUSES.longest));
        assert!(waits[19] >= PAUSES.longest / 2);
    }
}
