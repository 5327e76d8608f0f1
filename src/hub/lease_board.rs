//! All Leases of the installation, each the newest that a watch or an answer showed.
//!
//! ```text
//! watch ──────────┐
//! answers to own ─┴─> newest by resourceVersion, and when it was last seen to change ─> members, election
//! writes
//! ```
//!
//! An event that is older than an answer must not bring the past back: whoever renewed would look silent. But what a
//! question is answered that was asked later is the newest whatever its number: if that is lower, it is the hub that
//! went back, as after a restore from a backup.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;

use super::cause::cause;
use super::clock::Clock;
use super::history::History;
use super::relist::relisting;
use super::resource_version::order;
use crate::domain::election::ElectionLease;
use crate::domain::member::{Holder, MemberLease};
use crate::domain::own_writes::OwnWrites;
use crate::domain::replica::{Incarnation, ReplicaName};

/// Label of every member's Lease; its value is the installation.
pub const INSTALLATION_LABEL: &str = "ksit.io/installation";

/// What this replica knows of Leases.
pub struct LeaseBoard {
    clock: Clock,
    /// Longest time from one own write to the next while all is well.
    longest_gap: Duration,
    history: History,
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    leases: BTreeMap<String, Seen>,
    own_writes: OwnWrites,
    listed: bool,
}

struct Seen {
    lease: Lease,
    /// Its resourceVersion; 0 if that is of a past that the hub has lost.
    version: u128,
    deleted: bool,
    /// When it came.
    seen: Duration,
    /// When it was last seen to change.
    changed: Duration,
    held_since: Duration,
}

impl LeaseBoard {
    pub fn new(clock: Clock, longest_gap: Duration) -> Self {
        let (history, changed) = (History::default(), watch::Sender::new(()));
        Self { clock, longest_gap, history, inner: Mutex::default(), changed }
    }

    /// Tells when Leases show that the hub went back.
    pub fn history(&self) -> &History {
        &self.history
    }

    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Wakes at every change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether all Leases have been listed once. Before, an absent one says nothing.
    pub fn is_listed(&self) -> bool {
        self.lock().listed
    }

    /// A Lease as an event has it.
    pub fn see(&self, lease: Lease) {
        self.put(lease, false, None);
    }

    /// A Lease as the hub answered a question that was asked at `asked`. No cache answers those.
    pub fn read(&self, lease: Lease, asked: Duration) {
        self.put(lease, false, Some(asked));
    }

    /// A Lease as an own write of `asked` left it: newer than every Lease that was seen before.
    pub fn written(&self, lease: Lease, asked: Duration) {
        let written = version(&lease);
        let is_later = |seen: &Seen| seen.seen < asked && seen.version > written;
        let went_back = {
            let inner = self.lock();
            // A write that changes nothing gets no version of its own.
            let is_known = inner.leases.get(&lease.name_any()).is_some_and(|known| known.version == written);
            !is_known && inner.leases.values().any(is_later)
        };
        if went_back {
            self.went_back();
        }
        self.put(lease, false, Some(asked));
    }

    /// Nothing that was seen before outranks what is seen from now on.
    fn went_back(&self) {
        self.lock().leases.values_mut().for_each(|seen| seen.version = 0);
        self.history.went_back();
    }

    /// An own write of a Lease was answered, or was not.
    pub fn wrote(&self, answered: bool) {
        let now = self.clock.now();
        let mut inner = self.lock();
        match answered {
            true => inner.own_writes.succeeded(now, self.longest_gap),
            false => inner.own_writes.failed(),
        }
    }

    /// Since when own writes succeed without a gap: silence of others counts from there.
    pub fn writes_since(&self) -> Option<Duration> {
        self.lock().own_writes.unbroken_since(self.clock.now(), self.longest_gap)
    }

    /// The newest version of a Lease, unless it is gone.
    pub fn lease(&self, name: &str) -> Option<Lease> {
        self.lock().leases.get(name).filter(|seen| !seen.deleted).map(|seen| seen.lease.clone())
    }

    /// As the election looks at it.
    pub fn election_lease(&self, name: &str) -> Option<ElectionLease> {
        let inner = self.lock();
        let seen = inner.leases.get(name).filter(|seen| !seen.deleted)?;
        let spec = seen.lease.spec.clone().unwrap_or_default();
        Some(ElectionLease {
            resource_version: seen.lease.resource_version().unwrap_or_default(),
            complete: is_complete(&spec),
            vacated: is_vacated(&spec),
            holder: spec.holder_identity,
            changed: seen.changed,
        })
    }

    /// The Leases whose annotation `name` holds `text`, but for that of `except`; and whether each was taken from its
    /// replica, which then died.
    pub(super) fn annotated(&self, name: &str, text: &str, except: &ReplicaName) -> Vec<(Lease, bool)> {
        let inner = self.lock();
        let all = inner.leases.iter().filter(|(lease, seen)| !seen.deleted && *lease != except.as_str());
        let holds = |lease: &Lease| lease.annotations().get(name).is_some_and(|value| value.contains(text));
        all.filter(|(_, seen)| holds(&seen.lease))
            .map(|(name, seen)| {
                let holder = seen.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                (seen.lease.clone(), member_holder(name, holder) == Holder::Taken)
            })
            .collect()
    }

    /// The members' Leases of `installation`.
    pub fn members(&self, installation: &str) -> BTreeMap<ReplicaName, MemberLease> {
        let inner = self.lock();
        let ours = inner
            .leases
            .iter()
            .filter(|(_, seen)| seen.lease.labels().get(INSTALLATION_LABEL).is_some_and(|label| label == installation));
        ours.map(|(name, seen)| {
            let holder = seen.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
            let lease = MemberLease {
                holder: if seen.deleted { Holder::Nobody } else { member_holder(name, holder) },
                resource_version: seen.lease.resource_version().unwrap_or_default(),
                changed: seen.changed,
                held_since: seen.held_since,
                heard: None,
            };
            (ReplicaName::new(name.as_str()), lease)
        })
        .collect()
    }

    /// Whether `process` holds the Lease of a member of `installation`.
    pub fn is_held_by(&self, installation: &str, process: &Incarnation) -> bool {
        let inner = self.lock();
        inner.leases.get(process.name.as_str()).filter(|seen| !seen.deleted).is_some_and(|seen| {
            let holder = seen.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
            seen.lease.labels().get(INSTALLATION_LABEL).is_some_and(|label| label == installation)
                && matches!(member_holder(process.name.as_str(), holder), Holder::Process(holder) if holder == *process)
        })
    }

    /// `asked`: since when the list or the question is under way that shows this version, which is then the newest
    /// whatever its number.
    pub(super) fn put(&self, lease: Lease, deleted: bool, asked: Option<Duration>) {
        let now = self.clock.now();
        let name = lease.name_any();
        let version = version(&lease);
        let is_of_before = |known: &Seen| asked.is_some_and(|asked| known.seen < asked);
        if self.lock().leases.get(&name).is_some_and(|known| is_of_before(known) && version < known.version) {
            self.went_back();
        }
        let mut inner = self.lock();
        if let Some(known) = inner.leases.get(&name) {
            let is_newer = version > known.version;
            let is_shown = is_of_before(known) && version != known.version;
            let is_end = deleted && !known.deleted && version == known.version;
            if !(is_newer || is_shown || is_end) {
                return;
            }
        }
        let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        let held_since = inner
            .leases
            .get(&name)
            .filter(|known| !known.deleted && holder(&known.lease) == holder(&lease))
            .map_or(now, |known| known.held_since);
        inner.leases.insert(name, Seen { lease, version, deleted, seen: now, changed: now, held_since });
        drop(inner);
        self.changed.send_replace(());
    }

    /// After a full list: what it didn't show is gone, unless it was made while the list was under way.
    pub(super) fn listed(&self, shown: &std::collections::BTreeSet<String>, since: Duration) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.listed = true;
        for (name, seen) in &mut inner.leases {
            if !shown.contains(name) && seen.seen < since && !seen.deleted {
                (seen.deleted, seen.seen, seen.changed, seen.held_since) = (true, now, now, now);
            }
        }
        drop(inner);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `board` as the hub has it, for ever.
pub async fn watch_leases(client: Client, namespace: &str, board: &LeaseBoard) {
    let api: Api<Lease> = Api::namespaced(client, namespace);
    let begin = move || watcher::watcher(api.clone(), watcher::Config::default()).boxed();
    let events = relisting(&board.history, begin);
    let mut events = std::pin::pin!(
        events
            .inspect_err(|error| tracing::warn!(
                error = cause(error),
                "the hub's Leases can't be watched; trying again"
            ))
            .filter_map(|event| std::future::ready(event.ok()))
    );
    let mut shown = std::collections::BTreeSet::new();
    let mut since = Duration::ZERO;
    while let Some(event) = events.next().await {
        match event {
            Event::Init => (shown, since) = (std::collections::BTreeSet::new(), board.clock.now()),
            Event::InitApply(lease) => {
                shown.insert(lease.name_any());
                board.put(lease, false, Some(since));
            }
            Event::InitDone => board.listed(&shown, since),
            Event::Apply(lease) => board.see(lease),
            Event::Delete(lease) => board.put(lease, true, None),
        }
    }
}

fn version(lease: &Lease) -> u128 {
    order(lease.metadata.resource_version.as_deref())
}

/// Everything that the election crate reads.
fn is_complete(spec: &LeaseSpec) -> bool {
    spec.holder_identity.is_some()
        && spec.renew_time.is_some()
        && spec.acquire_time.is_some()
        && spec.lease_duration_seconds.is_some()
        && spec.lease_transitions.is_some()
}

/// Nobody holds it, and to anybody's clock it expired long ago.
fn is_vacated(spec: &LeaseSpec) -> bool {
    spec.holder_identity.as_deref() == Some("")
        && spec.renew_time.as_ref().is_some_and(|time| time.0 == jiff::Timestamp::UNIX_EPOCH)
        && spec.lease_duration_seconds == Some(1)
}

/// Who holds the Lease `name`. Anybody but a process of that name has taken it.
fn member_holder(name: &str, holder: Option<&str>) -> Holder {
    let Some(holder) = holder.filter(|holder| !holder.is_empty()) else { return Holder::Nobody };
    match holder.split('_').collect::<Vec<_>>()[..] {
        [replica, pod_uid, nonce] if replica == name => Holder::Process(Incarnation::new(replica, pod_uid, nonce)),
        _ => Holder::Taken,
    }
}

#[cfg(test)]
#[path = "lease_board_tests.rs"]
mod tests;
