//! What the coordinator remembers of its workers: who owns what, who has observed what, what was asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::deferred::Deferred;
use super::wanted::Wanted;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::ownership::Ownership;
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::report::ToWorker;

#[derive(Default)]
pub(super) struct Desk {
    pub(super) ownership: Ownership,
    pub(super) epoch: Epoch,
    /// Targets by [`Digest::target`].
    pub(super) names: BTreeMap<u64, TargetKey>,
    pub(super) workers: BTreeMap<ReplicaName, mpsc::Sender<ToWorker>>,
    /// Targets of which the present owner has said nothing in this reign; none that can't be looked at.
    pub(super) unobserved: BTreeSet<TargetKey>,
    pub(super) wanted: Wanted,
    pub(super) deferred: Deferred,
    heard: BTreeMap<ReplicaName, Heard>,
    /// When each worker was asked last to confirm what it has.
    pub(super) asked: BTreeMap<ReplicaName, Instant>,
    /// When the map was last learned.
    pub(super) learned: Option<Instant>,
}

/// The progress of a worker, by its messages.
struct Heard {
    process: Arc<Incarnation>,
    /// The newest map that it works by, and when that was first heard.
    epoch: (Epoch, Instant),
    /// When it last told of a target of which it had told nothing before.
    first_look: Instant,
}

impl Desk {
    /// A message of `sender` came, which works by the map of `epoch`.
    pub(super) fn hear(&mut self, sender: &Arc<Incarnation>, epoch: Epoch) {
        let now = Instant::now();
        let new = || Heard { process: sender.clone(), epoch: (epoch, now), first_look: now };
        let heard = self.heard.entry(sender.name.clone()).or_insert_with(new);
        if heard.process != *sender {
            *heard = new();
        } else if heard.epoch.0 < epoch {
            heard.epoch = (epoch, now);
        }
    }

    /// `sender` told of a target of which it had told nothing before.
    pub(super) fn first_look(&mut self, sender: &Incarnation) {
        if let Some(heard) = self.heard.get_mut(&sender.name) {
            heard.first_look = Instant::now();
        }
    }

    /// Since when `owner` has known what it owns by the map of `epoch`, and has told of nothing new. A worker reads
    /// thousands of targets for the first time one after the other.
    pub(super) fn could_look(&self, owner: &Incarnation, epoch: Epoch) -> Option<Instant> {
        let heard = self.heard.get(&owner.name).filter(|heard| *heard.process == *owner)?;
        let (newest, since) = heard.epoch;
        (newest >= epoch).then(|| since.max(heard.first_look))
    }

    pub(super) fn name(&mut self, key: &TargetKey) {
        self.names.insert(Digest::name(key), key.clone());
    }

    pub(super) fn forget(&mut self, key: &TargetKey) {
        self.names.remove(&Digest::name(key));
        self.unobserved.remove(key);
        self.wanted.answered(key);
        self.ownership.forget(key);
    }
}
