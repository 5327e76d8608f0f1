//! Other installations of ksit that have written objects in view: which of them live.
//!
//! Two that wrote the same objects would outbid each other's terms for ever. So an object whose `managedBy` is another
//! living installation is left alone, until that one is gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::hub::{PromptClient, PromptError, lease_version};

/// Between two looks at the coordinators' Leases of the others.
const LOOK: Duration = Duration::from_secs(3);

/// A coordinator renews every few seconds, whatever its Lease duration; this is long enough for an election.
const GONE_AFTER: Duration = Duration::from_secs(60);

/// Their names, as `managedBy` has them.
pub(super) struct Neighbours {
    known: Mutex<BTreeMap<String, Neighbour>>,
    changed: watch::Sender<()>,
}

struct Neighbour {
    /// resourceVersion of its coordinator's Lease, and since when it has been that.
    seen: Option<(String, Instant)>,
    is_gone: bool,
}

impl Default for Neighbours {
    fn default() -> Self {
        Self { known: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl Neighbours {
    /// Whether objects of this installation are to be left alone: as long as it isn't known to be gone.
    pub(super) fn lives(&self, installation: &str) -> bool {
        if place_of(installation).is_none() {
            return false;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !known.contains_key(installation);
        if is_new {
            tracing::warn!(
                installation,
                "there are objects of another installation of ksit; they are left alone as long as it lives. Let the \
                 two watch different namespaces, or remove one of them; to see that it is gone, ksit must be allowed \
                 to get Leases in its namespace"
            );
        }
        !known.entry(installation.to_owned()).or_insert(Neighbour { seen: None, is_gone: false }).is_gone
    }

    /// Wakes when one is gone, or is back.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Looks after them, for ever.
    pub(super) async fn watch(&self, hub: &PromptClient) {
        loop {
            sleep(LOOK).await;
            let names: Vec<String> =
                self.known.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
            for name in names {
                let Some((namespace, lease)) = place_of(&name) else { continue };
                let version = lease_version(hub, namespace, &lease).await;
                self.judge(&name, version, Instant::now());
            }
        }
    }

    fn judge(&self, name: &str, version: Result<Option<String>, PromptError>, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(neighbour) = known.get_mut(name) else { return };
        let is_gone = match version {
            Ok(None) => true,
            Ok(Some(version)) => match &neighbour.seen {
                Some((seen, since)) if *seen == version => now.duration_since(*since) >= GONE_AFTER,
                _ => {
                    neighbour.seen = Some((version, now));
                    false
                }
            },
            // Who may not ask can't know that it is gone.
            Err(PromptError::Refused(_)) => false,
            Err(_) => neighbour.is_gone,
        };
        if std::mem::replace(&mut neighbour.is_gone, is_gone) != is_gone {
            tracing::warn!(installation = name, is_gone, "another installation of ksit came or went");
            self.changed.send_replace(());
        }
    }
}

/// Namespace and name of its coordinator's Lease. `None` for what no installation writes as its name.
fn place_of(installation: &str) -> Option<(&str, String)> {
    let (namespace, name) = installation.split_once('/')?;
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (is_name(namespace) && is_name(name)).then(|| (namespace, format!("{name}-coordinator")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_is_gone_when_its_lease_is_deleted_or_silent_for_long() {
        let (neighbours, start) = (Neighbours::default(), Instant::now());
        assert!(neighbours.lives("other/ksit"), "not known yet");
        let judge = |version: Result<Option<&str>, PromptError>, second: u64| {
            neighbours.judge("other/ksit", version.map(|v| v.map(str::to_owned)), start + Duration::from_secs(second));
            neighbours.lives("other/ksit")
        };
        assert!(judge(Ok(Some("1")), 0));
        assert!(judge(Ok(Some("1")), 59));
        assert!(!judge(Ok(Some("1")), 60), "silent");
        assert!(!judge(Err(PromptError::Conflict), 61), "nothing new");
        assert!(judge(Ok(Some("2")), 62), "back");
        assert!(!judge(Ok(None), 63), "deleted");
        assert!(judge(Err(PromptError::Refused(String::new())), 64), "can't be known");
    }

    #[test]
    fn what_no_installation_is_called_is_nobody() {
        let neighbours = Neighbours::default();
        assert!(["", "ksit", "/ksit", "a/", "a/../b", "a b/c"].iter().all(|name| !neighbours.lives(name)));
    }
}
