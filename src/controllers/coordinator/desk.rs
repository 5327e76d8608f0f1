//! What the coordinator remembers of its workers: who owns what, who has observed what, what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::deferred::Deferred;
use super::wanted::Wanted;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::ownership::Ownership;
use crate::domain::replica::{Epoch, ReplicaName};
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
    /// When the map was last learned.
    pub(super) learned: Option<Instant>,
}

impl Desk {
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
