//! Other installations of ksit that have written objects in view, and whether they are alive.
//!
//! Two installations that wrote the same objects would raise each other's terms forever. So an object whose `managedBy`
//! names another living installation is left alone until that installation is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::{ForeignLease, LeaseUnread};

/// Lease durations without a renewal after which the other installation counts as gone: a candidate takes the Lease
/// after one.
const DURATIONS: u32 = 2;

/// Installations that are tracked. Statuses name them, so there may be any number; further ones are left alone.
const MOST: usize = 64;

/// Where the Lease doesn't say.
const USUAL: Duration = Duration::from_secs(60);

/// The most, whatever the Lease says.
const LONGEST: Duration = Duration::from_secs(600);

/// A vacated Lease lasts 1 s, and is taken within a few.
const SHORTEST: Duration = Duration::from_secs(10);

/// By name, as in `managedBy`.
#[derive(Default)]
pub(super) struct OtherInstallations(BTreeMap<String, OtherInstallation>);

#[derive(Default)]
struct OtherInstallation {
    /// Its coordinator's Lease, and since when that has been unchanged.
    seen: Option<(ForeignLease, Duration)>,
    is_gone: bool,
}

impl OtherInstallations {
    /// Starts to track an installation. False if it was tracked already, or can't be.
    pub(super) fn track(&mut self, installation: &str) -> bool {
        let is_new = lease_of(installation).is_some() && !self.0.contains_key(installation) && self.0.len() < MOST;
        if is_new {
            self.0.insert(installation.to_owned(), OtherInstallation::default());
        }
        is_new
    }

    /// Whether to leave the objects of this installation alone: true unless it is known to be gone.
    pub(super) fn is_alive(&self, installation: &str) -> bool {
        lease_of(installation).is_some() && self.0.get(installation).is_none_or(|known| !known.is_gone)
    }

    /// Takes in the Lease of an installation. Returns whether it is gone now, if that changed.
    pub(super) fn judge(
        &mut self,
        name: &str,
        lease: Result<Option<ForeignLease>, LeaseUnread>,
        now: Duration,
    ) -> Option<bool> {
        let installation = self.0.get_mut(name)?;
        let is_gone = match lease {
            Ok(None) => true,
            Ok(Some(lease)) => match &installation.seen {
                Some((seen, since)) if *seen == lease => now.saturating_sub(*since) >= silence(&lease),
                _ => {
                    installation.seen = Some((lease, now));
                    false
                }
            },
            // Without the right to read the Lease ksit can't know that it is gone.
            Err(LeaseUnread::Forbidden) => false,
            Err(LeaseUnread::Failed) => installation.is_gone,
        };
        (std::mem::replace(&mut installation.is_gone, is_gone) != is_gone).then_some(is_gone)
    }
}

/// How long the Lease may stay unchanged before its installation counts as gone.
fn silence(lease: &ForeignLease) -> Duration {
    lease.duration.map_or(USUAL, |duration| (duration * DURATIONS).clamp(SHORTEST, LONGEST))
}

/// Namespace and name of the coordinator's Lease of an installation. `None` for a text that is no name of one.
pub fn lease_of(installation: &str) -> Option<(&str, String)> {
    let (namespace, name) = installation.split_once('/')?;
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    (is_name(namespace) && is_name(name)).then(|| (namespace, format!("{name}-coordinator")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installation_is_gone_when_its_lease_is_deleted_or_unchanged_for_long() {
        let mut others = OtherInstallations::default();
        assert!(others.track("other/ksit") && !others.track("other/ksit") && others.is_alive("other/ksit"));
        let mut judge = |lease: Result<Option<(&str, Option<u64>)>, LeaseUnread>, second: u64| {
            let lease = lease.map(|lease| {
                lease.map(|(version, seconds)| ForeignLease {
                    resource_version: version.to_owned(),
                    duration: seconds.map(Duration::from_secs),
                })
            });
            others.judge("other/ksit", lease, Duration::from_secs(second));
            others.is_alive("other/ksit")
        };
        assert!(judge(Ok(Some(("1", Some(10)))), 0));
        assert!(judge(Ok(Some(("1", Some(10)))), 19), "a candidate may be taking it");
        assert!(!judge(Ok(Some(("1", Some(10)))), 20), "unchanged for two durations");
        assert!(!judge(Err(LeaseUnread::Failed), 21), "nothing new");
        assert!(judge(Ok(Some(("2", Some(1)))), 22), "back, and vacated");
        assert!(judge(Ok(Some(("2", Some(1)))), 31));
        assert!(!judge(Ok(Some(("2", Some(1)))), 32), "nobody has taken it");
        assert!(judge(Ok(Some(("3", Some(3_600)))), 33), "back");
        assert!(judge(Ok(Some(("3", Some(3_600)))), 632) && !judge(Ok(Some(("3", Some(3_600)))), 633));
        assert!(judge(Ok(Some(("4", None))), 700) && judge(Ok(Some(("4", None))), 759), "without a duration");
        assert!(!judge(Ok(Some(("4", None))), 760));
        assert!(!judge(Ok(None), 761), "deleted");
        assert!(judge(Err(LeaseUnread::Forbidden), 762), "can't be known");
    }

    #[test]
    fn tracked_installations_are_bounded() {
        let mut others = OtherInstallations::default();
        for number in 0..1_000 {
            others.track(&format!("fleet/ksit-{number}"));
        }
        assert!((0..1_000).all(|number| others.is_alive(&format!("fleet/ksit-{number}"))));
        assert_eq!(others.0.len(), MOST);
    }

    #[test]
    fn name_of_no_installation_protects_nothing() {
        let mut others = OtherInstallations::default();
        for name in ["", "ksit", "a/", "/b", "a/b/c", "a/../b", "a/b?watch", "a b/c"] {
            assert!(!others.track(name) && !others.is_alive(name), "{name}");
        }
    }
}
