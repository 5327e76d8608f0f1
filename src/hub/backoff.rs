//! How long a watch of the hub waits after an error.

use std::time::Duration;

use futures::{Stream, StreamExt, future};
use kube::runtime::WatchStreamExt;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::Result;
use tokio::time::Instant;

use super::relist::is_unknown_version;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(3);

/// So long after an error the next one is the first again.
const FORGOTTEN: Duration = Duration::from_secs(30);

/// The events of a watch, with a pause after each error. One that only says that the hub doesn't have the version, as
/// an API server says that began anew, is left out: a list brings what is missed, and is made at once.
pub(super) fn with_backoff<E>(events: impl Stream<Item = Result<E>>) -> impl Stream<Item = Result<E>> {
    let mut listed_at: Option<Instant> = None;
    let is_told = move |event: &Result<E>| {
        let forgotten = matches!(event, Err(error) if is_unknown_version(error));
        let again = listed_at.is_some_and(|at| at.elapsed() <= FORGOTTEN);
        if forgotten && !again {
            listed_at = Some(Instant::now());
        }
        future::ready(!forgotten || again)
    };
    events.filter(is_told).backoff(WatchBackoff::default())
}

/// A pause of about so long, different for each who waits.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())
}

/// Doubles, with jitter. Far shorter than kube's own, which may wait a minute: after an outage nobody would lead, and
/// nobody would know its shard, until the last of these watches is back. There are a handful a replica.
#[derive(Debug)]
struct WatchBackoff {
    next: Duration,
    last_error: Option<Instant>,
}

impl Default for WatchBackoff {
    fn default() -> Self {
        Self { next: FIRST, last_error: None }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.last_error.is_some_and(|last| last.elapsed() > FORGOTTEN) {
            self.next = FIRST;
        }
        self.last_error = Some(Instant::now());
        let base = self.next;
        self.next = (base * 2).min(LONGEST);
        Some(jittered(base))
    }
}

impl Backoff for WatchBackoff {
    /// Asked for after anything but an error. A watch that begins anew says so before it has asked the hub anything,
    /// and would start over each time: time alone tells.
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_seconds_at_the_most_and_for_some_time_at_the_least() {
        let waits: Vec<Duration> = WatchBackoff::default().take(20).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits.iter().all(|wait| *wait <= LONGEST));
        assert!(waits[19] >= LONGEST / 2);
    }
}
