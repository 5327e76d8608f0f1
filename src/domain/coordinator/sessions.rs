//! Workers: ownership of slots, progress, and outstanding requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Message;
use super::deferred::Deferred;
use super::wanted::Wanted;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::ownership::Ownership;
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};

#[derive(Default)]
pub(super) struct Sessions {
    pub(super) ownership: Ownership,
    pub(super) epoch: Epoch,
    /// Targets by [`Digest::target`].
    pub(super) names: BTreeMap<u64, TargetKey>,
    /// Usable targets that their present owner has not reported in this term.
    pub(super) unobserved: BTreeSet<TargetKey>,
    pub(super) wanted: Wanted,
    /// Time of the last request to confirm, by worker.
    pub(super) confirm_asked: BTreeMap<ReplicaName, Duration>,
    /// Time of the last change of the map.
    pub(super) map_changed: Option<Duration>,
    deferred: Deferred,
    workers: BTreeMap<ReplicaName, Worker>,
}

/// The progress of a worker, by its messages.
struct Worker {
    process: Arc<Incarnation>,
    /// The newest map that it works by, and when that was first seen.
    epoch: (Epoch, Duration),
    /// When it last reported a target for the first time.
    first_report: Duration,
}

impl Sessions {
    /// Takes in a message of `sender`, which works by the map of `epoch`.
    pub(super) fn hear(&mut self, sender: &Arc<Incarnation>, epoch: Epoch, now: Duration) {
        let new = || Worker { process: sender.clone(), epoch: (epoch, now), first_report: now };
        let worker = self.workers.entry(sender.name.clone()).or_insert_with(new);
        if worker.process != *sender {
            *worker = new();
        } else if worker.epoch.0 < epoch {
            worker.epoch = (epoch, now);
        }
    }

    /// `sender` reported a target that it had not reported before.
    pub(super) fn reported_first(&mut self, sender: &Incarnation, now: Duration) {
        if let Some(worker) = self.workers.get_mut(&sender.name) {
            worker.first_report = now;
        }
    }

    /// Time since which `owner` has known the map of `epoch` and has reported no further target for the first time: a
    /// worker reads thousands of new targets one after the other. `None` if it doesn't work by that map yet.
    pub(super) fn idle_since(&self, owner: &Incarnation, epoch: Epoch) -> Option<Duration> {
        let worker = self.workers.get(&owner.name).filter(|worker| *worker.process == *owner)?;
        let (newest, since) = worker.epoch;
        (newest >= epoch).then(|| since.max(worker.first_report))
    }

    /// The process that has a session under this name.
    pub(super) fn process(&self, name: &ReplicaName) -> Option<&Arc<Incarnation>> {
        self.workers.get(name).map(|worker| &worker.process)
    }

    pub(super) fn names_of_workers(&self) -> impl Iterator<Item = &ReplicaName> {
        self.workers.keys()
    }

    pub(super) fn drop_others_than(&mut self, members: &BTreeMap<ReplicaName, Incarnation>) {
        self.workers.retain(|name, _| members.contains_key(name));
    }

    /// Keeps a message by a map that is not acknowledged yet. Returns it if its sender has too much waiting.
    pub(super) fn defer(&mut self, message: Message) -> Result<(), Message> {
        self.deferred.enqueue(message)
    }

    pub(super) fn take_deferred(&mut self) -> impl Iterator<Item = Message> + use<> {
        self.deferred.take()
    }

    pub(super) fn add_target(&mut self, key: &TargetKey) {
        self.names.insert(Digest::name(key), key.clone());
    }

    /// A usable target without a report is unobserved; one that can't be used is not missed.
    pub(super) fn set_observable(&mut self, key: &TargetKey, is_usable: bool, is_reported: bool) {
        if !is_usable {
            self.unobserved.remove(key);
        } else if !is_reported {
            self.unobserved.insert(key.clone());
        }
    }

    pub(super) fn remove_target(&mut self, key: &TargetKey) {
        self.names.remove(&Digest::name(key));
        self.unobserved.remove(key);
        self.wanted.answered(key);
        self.ownership.forget(key);
    }

    #[cfg(test)]
    pub(super) fn deferred_bytes(&self) -> usize {
        self.deferred.bytes()
    }

    #[cfg(test)]
    pub(super) fn disconnect_all(&mut self) {
        self.workers.clear();
    }
}
