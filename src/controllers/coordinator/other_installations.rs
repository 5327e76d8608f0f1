//! Other installations of ksit that have written objects in view: which of them live.
//!
//! Two that wrote the same objects would outbid each other's terms for ever. So an object whose `managedBy` is another
//! living installation is left alone, until that one is gone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::hub::{ForeignLease, PromptClient, PromptError, foreign_lease};

/// Between two looks at the coordinators' Leases of the others.
const LOOK: Duration = Duration::from_secs(3);

/// Lease durations without a renewal after which no replica of the other is left: a candidate takes the Lease when one
/// has passed.
const DURATIONS: u32 = 2;

/// Installations that are looked up. Statuses name them, so there may be any number; further ones are left alone.
const MOST: usize = 64;

/// Where the Lease doesn't say.
const USUAL: Duration = Duration::from_secs(60);

/// The most, whatever it says.
const LONGEST: Duration = Duration::from_secs(600);

/// A vacated Lease lasts 1 s, and is taken within a few.
const SHORTEST: Duration = Duration::from_secs(10);

/// Their names, as `managedBy` has them.
pub(super) struct OtherInstallations {
    known: Mutex<BTreeMap<String, OtherInstallation>>,
    changed: watch::Sender<()>,
}

struct OtherInstallation {
    /// Its coordinator's Lease, and since when it has been that.
    seen: Option<(ForeignLease, Instant)>,
    is_gone: bool,
}

impl Default for OtherInstallations {
    fn default() -> Self {
        Self { known: Mutex::default(), changed: watch::Sender::new(()) }
    }
}

impl OtherInstallations {
    /// Whether objects of this installation are to be left alone: as long as it isn't known to be gone.
    pub(super) fn lives(&self, installation: &str) -> bool {
        if place_of(installation).is_none() {
            return false;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !known.contains_key(installation);
        if is_new && known.len() >= MOST {
            return true;
        }
        if is_new {
            tracing::warn!(
                installation,
                "there are objects of another installation of ksit; they are left alone as long as it lives. Let the \
                 two watch different namespaces, or remove one of them; to see that it is gone, ksit must be allowed \
                 to get Leases in its namespace"
            );
        }
        !known.entry(installation.to_owned()).or_insert(OtherInstallation { seen: None, is_gone: false }).is_gone
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
                let lease = foreign_lease(hub, namespace, &lease).await;
                self.judge(&name, lease, Instant::now());
            }
        }
    }

    fn judge(&self, name: &str, lease: Result<Option<ForeignLease>, PromptError>, now: Instant) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(installation) = known.get_mut(name) else { return };
        let is_gone = match lease {
            Ok(None) => true,
            Ok(Some(lease)) => match &installation.seen {
                Some((seen, since)) if *seen == lease => now.duration_since(*since) >= silence(&lease),
                _ => {
                    installation.seen = Some((lease, now));
                    false
                }
            },
            // Who may not ask can't know that it is gone.
            Err(PromptError::Refused(_)) => false,
            Err(_) => installation.is_gone,
        };
        if std::mem::replace(&mut installation.is_gone, is_gone) != is_gone {
            tracing::warn!(installation = name, is_gone, "another installation of ksit came or went");
            self.changed.send_replace(());
        }
    }
}

/// How long the Lease may stay as it is before nobody is left who would renew it.
fn silence(lease: &ForeignLease) -> Duration {
    lease.duration.map_or(USUAL, |duration| (duration * DURATIONS).clamp(SHORTEST, LONGEST))
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
        let (other_installations, start) = (OtherInstallations::default(), Instant::now());
        assert!(other_installations.lives("other/ksit"), "not known yet");
        let judge = |lease: Result<Option<(&str, Option<u64>)>, PromptError>, second: u64| {
            let lease = lease.map(|lease| {
                lease.map(|(version, seconds)| ForeignLease {
                    resource_version: version.to_owned(),
                    duration: seconds.map(Duration::from_secs),
                })
            });
            other_installations.judge("other/ksit", lease, start + Duration::from_secs(second));
            other_installations.lives("other/ksit")
        };
        assert!(judge(Ok(Some(("1", Some(10)))), 0));
        assert!(judge(Ok(Some(("1", Some(10)))), 19), "a candidate may be taking it");
        assert!(!judge(Ok(Some(("1", Some(10)))), 20), "silent");
        assert!(!judge(Err(PromptError::Conflict), 21), "nothing new");
        assert!(judge(Ok(Some(("2", Some(1)))), 22), "back, and vacated");
        assert!(judge(Ok(Some(("2", Some(1)))), 31));
        assert!(!judge(Ok(Some(("2", Some(1)))), 32), "nobody has taken it");
        assert!(judge(Ok(Some(("3", Some(3_600)))), 33), "back");
        assert!(judge(Ok(Some(("3", Some(3_600)))), 632) && !judge(Ok(Some(("3", Some(3_600)))), 633));
        assert!(judge(Ok(Some(("4", None))), 700) && judge(Ok(Some(("4", None))), 759), "it doesn't say how long");
        assert!(!judge(Ok(Some(("4", None))), 760));
        assert!(!judge(Ok(None), 761), "deleted");
        assert!(judge(Err(PromptError::Refused(String::new())), 762), "can't be known");
    }

    #[test]
    fn installations_that_statuses_name_are_bounded() {
        let other_installations = OtherInstallations::default();
        assert!((0..1_000).all(|number| other_installations.lives(&format!("fleet/ksit-{number}"))));
        assert_eq!(other_installations.known.lock().unwrap().len(), MOST);
    }

    #[test]
    fn what_no_installation_is_called_is_nobody() {
        let other_installations = OtherInstallations::default();
        assert!(["", "ksit", "/ksit", "a/", "a/../b", "a b/c"].iter().all(|name| !other_installations.lives(name)));
    }
}
