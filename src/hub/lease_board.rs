//! Caches all Leases of the installation, each in the newest version that a watch or an answer showed.
//!
//! ```text
//! watch ──────────┐
//! answers to own ─┴─> newest by resourceVersion, with the time of its last change ─> members, election
//! writes
//! ```
//!
//! An event older than an answer must not overwrite it, or a renewed Lease would look silent. The answer to a later
//! request, however, is the newest whatever its version: a lower one means that the hub was rolled back, as after a
//! restore from a backup.

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
use super::prompt_client::PromptError;
use super::relist::relisting;
use super::resource_version::order;
use crate::domain::election::ElectionLease;
use crate::domain::member::{Holder, MemberLease};
use crate::domain::own_writes::OwnWrites;
use crate::domain::replica::{Incarnation, ReplicaName};

/// Label of every member's Lease; its value is the installation.
pub const INSTALLATION_LABEL: &str = "ksit.io/installation";

/// Cache of Leases, shared by membership and election.
pub struct LeaseBoard {
    clock: Clock,
    /// Maximum time between two own writes in normal operation.
    longest_gap: Duration,
    history: History,
    inner: Mutex<Inner>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct Inner {
    leases: BTreeMap<String, Entry>,
    own_writes: OwnWrites,
    listed: bool,
}

struct Entry {
    lease: Lease,
    /// Its resourceVersion; 0 if it predates a rollback of the hub.
    version: u128,
    deleted: bool,
    /// When this version arrived.
    received: Duration,
    /// When the Lease last changed.
    changed: Duration,
    held_since: Duration,
}

impl LeaseBoard {
    pub fn new(clock: Clock, longest_gap: Duration) -> Self {
        let (history, changed) = (History::default(), watch::Sender::new(()));
        Self { clock, longest_gap, history, inner: Mutex::default(), changed }
    }

    /// Rollbacks of the hub, as detected from Leases.
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

    /// Whether all Leases have been listed once. Before that, absence of a Lease means nothing.
    pub fn is_listed(&self) -> bool {
        self.lock().listed
    }

    /// Applies a Lease from a watch event.
    pub fn apply_event(&self, lease: Lease) {
        self.update(lease, false, None);
    }

    /// Applies the last version of a Lease from a watch event of its deletion.
    pub(super) fn apply_deletion(&self, lease: Lease) {
        self.update(lease, true, None);
    }

    /// Applies a Lease from the answer to a list, or a read that bypasses the API server's cache, sent at `sent_at`.
    pub fn apply_read(&self, lease: Lease, sent_at: Duration) {
        self.update(lease, false, Some(sent_at));
    }

    /// Applies a Lease from the answer to an own write sent at `sent_at`. It is newer than every Lease received before.
    pub fn apply_write(&self, lease: Lease, sent_at: Duration) {
        let written = version(&lease);
        let is_later = |entry: &Entry| entry.received < sent_at && entry.version > written;
        let rolled_back = {
            let inner = self.lock();
            // A write that changes nothing keeps the version.
            let is_known = inner.leases.get(&lease.name_any()).is_some_and(|known| known.version == written);
            !is_known && inner.leases.values().any(is_later)
        };
        if rolled_back {
            self.record_rollback();
        }
        self.update(lease, false, Some(sent_at));
    }

    /// Resets all versions, so that nothing received before outranks what arrives from now on.
    fn record_rollback(&self) {
        self.lock().leases.values_mut().for_each(|entry| entry.version = 0);
        self.history.record_rollback();
    }

    /// Records the result of an own write of a Lease.
    pub fn record_write<T>(&self, written: &Result<T, PromptError>) {
        match written {
            Err(error) if !error.is_answer() => self.record_write_failed(),
            _ => self.record_write_answered(),
        }
    }

    pub fn record_write_answered(&self) {
        let now = self.clock.now();
        self.lock().own_writes.succeeded(now, self.longest_gap);
    }

    pub fn record_write_failed(&self) {
        self.lock().own_writes.failed();
    }

    /// Start of the unbroken series of own writes. Silence of others counts only from then on.
    pub fn writes_since(&self) -> Option<Duration> {
        self.lock().own_writes.unbroken_since(self.clock.now(), self.longest_gap)
    }

    /// Returns the newest version of a Lease, unless it was deleted.
    pub fn lease(&self, name: &str) -> Option<Lease> {
        self.lock().leases.get(name).filter(|entry| !entry.deleted).map(|entry| entry.lease.clone())
    }

    /// Returns the election's view of a Lease.
    pub fn election_lease(&self, name: &str) -> Option<ElectionLease> {
        let inner = self.lock();
        let entry = inner.leases.get(name).filter(|entry| !entry.deleted)?;
        let spec = entry.lease.spec.clone().unwrap_or_default();
        Some(ElectionLease {
            resource_version: entry.lease.resource_version().unwrap_or_default(),
            complete: is_complete(&spec),
            vacated: is_vacated(&spec),
            holder: spec.holder_identity,
            changed: entry.changed,
        })
    }

    /// Returns the Leases, except that of `except`, whose annotation `name` contains `text`, and whether each was taken
    /// from its replica, which means that the replica died.
    pub(super) fn annotated(&self, name: &str, text: &str, except: &ReplicaName) -> Vec<(Lease, bool)> {
        let inner = self.lock();
        let all = inner.leases.iter().filter(|(lease, entry)| !entry.deleted && *lease != except.as_str());
        let holds = |lease: &Lease| lease.annotations().get(name).is_some_and(|value| value.contains(text));
        all.filter(|(_, entry)| holds(&entry.lease))
            .map(|(name, entry)| {
                let holder = entry.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
                (entry.lease.clone(), member_holder(name, holder) == Holder::Taken)
            })
            .collect()
    }

    /// Returns the member Leases of `installation`.
    pub fn members(&self, installation: &str) -> BTreeMap<ReplicaName, MemberLease> {
        let inner = self.lock();
        let ours = inner.leases.iter().filter(|(_, entry)| {
            entry.lease.labels().get(INSTALLATION_LABEL).is_some_and(|label| label == installation)
        });
        ours.map(|(name, entry)| {
            let holder = entry.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
            let lease = MemberLease {
                holder: if entry.deleted { Holder::Nobody } else { member_holder(name, holder) },
                resource_version: entry.lease.resource_version().unwrap_or_default(),
                changed: entry.changed,
                held_since: entry.held_since,
                heard: None,
            };
            (ReplicaName::new(name.as_str()), lease)
        })
        .collect()
    }

    /// Whether `process` holds the Lease of a member of `installation`.
    pub fn is_held_by(&self, installation: &str, process: &Incarnation) -> bool {
        let inner = self.lock();
        inner.leases.get(process.name.as_str()).filter(|entry| !entry.deleted).is_some_and(|entry| {
            let holder = entry.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
            entry.lease.labels().get(INSTALLATION_LABEL).is_some_and(|label| label == installation)
                && matches!(member_holder(process.name.as_str(), holder), Holder::Process(holder) if holder == *process)
        })
    }

    /// `sent_at`: when the list or read that returned this version was sent. The version then outranks every entry
    /// received before, whatever its number.
    fn update(&self, lease: Lease, deleted: bool, sent_at: Option<Duration>) {
        let now = self.clock.now();
        let name = lease.name_any();
        let version = version(&lease);
        let was_received_before = |known: &Entry| sent_at.is_some_and(|sent_at| known.received < sent_at);
        if self.lock().leases.get(&name).is_some_and(|known| was_received_before(known) && version < known.version) {
            self.record_rollback();
        }
        let mut inner = self.lock();
        if let Some(known) = inner.leases.get(&name) {
            let is_newer = version > known.version;
            let is_answer = was_received_before(known) && version != known.version;
            let is_deletion = deleted && !known.deleted && version == known.version;
            if !(is_newer || is_answer || is_deletion) {
                return;
            }
        }
        let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        let held_since = inner
            .leases
            .get(&name)
            .filter(|known| !known.deleted && holder(&known.lease) == holder(&lease))
            .map_or(now, |known| known.held_since);
        inner.leases.insert(name, Entry { lease, version, deleted, received: now, changed: now, held_since });
        drop(inner);
        self.changed.send_replace(());
    }

    /// Ends a full list: Leases not in it are deleted, unless they arrived after the list started at `since`.
    pub(super) fn finish_list(&self, shown: &std::collections::BTreeSet<String>, since: Duration) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.listed = true;
        for (name, entry) in &mut inner.leases {
            if !shown.contains(name) && entry.received < since && !entry.deleted {
                (entry.deleted, entry.received, entry.changed, entry.held_since) = (true, now, now, now);
            }
        }
        drop(inner);
        self.changed.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps `board` up to date with a watch. Never returns.
pub async fn watch_leases(client: Client, namespace: &str, board: &LeaseBoard) {
    let api: Api<Lease> = Api::namespaced(client, namespace);
    let begin = move || watcher::watcher(api.clone(), watcher::Config::default()).boxed();
    let events = relisting(&board.history, begin);
    let mut events = std::pin::pin!(
        events
            .inspect_err(|error| tracing::warn!(error = cause(error), "failed to watch the hub's Leases; retrying"))
            .filter_map(|event| std::future::ready(event.ok()))
    );
    let mut shown = std::collections::BTreeSet::new();
    let mut since = Duration::ZERO;
    while let Some(event) = events.next().await {
        match event {
            Event::Init => (shown, since) = (std::collections::BTreeSet::new(), board.clock.now()),
            Event::InitApply(lease) => {
                shown.insert(lease.name_any());
                board.apply_read(lease, since);
            }
            Event::InitDone => board.finish_list(&shown, since),
            Event::Apply(lease) => board.apply_event(lease),
            Event::Delete(lease) => board.apply_deletion(lease),
        }
    }
}

fn version(lease: &Lease) -> u128 {
    order(lease.metadata.resource_version.as_deref())
}

/// Whether the spec has every field that the election crate reads.
fn is_complete(spec: &LeaseSpec) -> bool {
    spec.holder_identity.is_some()
        && spec.renew_time.is_some()
        && spec.acquire_time.is_some()
        && spec.lease_duration_seconds.is_some()
        && spec.lease_transitions.is_some()
}

/// Whether nobody holds the Lease, and it expired long ago by any clock.
fn is_vacated(spec: &LeaseSpec) -> bool {
    spec.holder_identity.as_deref() == Some("")
        && spec.renew_time.as_ref().is_some_and(|time| time.0 == jiff::Timestamp::UNIX_EPOCH)
        && spec.lease_duration_seconds == Some(1)
}

/// Returns the holder of the Lease `name`. Any holder but a process of that name has taken the Lease.
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
