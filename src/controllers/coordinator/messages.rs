//! What workers say: taken from the owner of the slot, refused from anybody else.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::fleet::{Fleet, Target};
use super::wanted::ASK_AGAIN;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::ownership::{Refusal, Stamp};
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::report::{FromWorker, Heartbeat, ToWorker};
use crate::domain::shard_map::ShardMap;
use crate::domain::slot::Slot;
use crate::domain::weights::Weights;
use crate::reports::Incoming;

impl Fleet {
    /// The map changed: to be told every version.
    pub(super) fn on_map(&mut self, map: &ShardMap) {
        let desk = &mut self.desk;
        desk.ownership.learn(map);
        (desk.epoch, desk.learned) = (map.epoch, Some(Instant::now()));
        desk.workers.retain(|name, _| map.members.contains_key(name));
        let is_unobserved = |target: &Target| {
            let told = target.told.as_ref().map(|told| told.by.as_ref());
            told.is_none() || desk.ownership.owner(target.slot) != told
        };
        let sound = self.targets.iter().filter(|(_, target)| target.desired.is_ok());
        let unobserved = sound.filter(|(_, target)| is_unobserved(target)).map(|(key, _)| key.clone()).collect();
        desk.unobserved = unobserved;
        self.show_unobserved();
        // Last: who sees the epoch sees what it leaves unobserved.
        self.context.metrics.shard_map_epoch.set_count(map.epoch.0);
        let deferred = self.desk.deferred.take();
        deferred.for_each(|incoming| self.on_message(incoming));
    }

    pub(super) fn on_message(&mut self, mut incoming: Incoming) {
        if !(self.context.is_member)(&incoming.sender) {
            tracing::debug!(replica = %incoming.sender.name, "not a replica; its message is dropped");
            return self.context.metrics.observations.with_label_values(&["not_a_member"]).inc();
        }
        let epoch = match &incoming.message {
            FromWorker::Digests { epoch, .. } | FromWorker::Heartbeat(Heartbeat { epoch, .. }) => *epoch,
            FromWorker::Report { report, .. } => report.epoch,
        };
        if epoch > self.desk.epoch {
            match self.desk.deferred.enqueue(incoming) {
                Ok(()) => return,
                // Too much of this sender waits: it is judged by the map that is known.
                Err(more) => incoming = more,
            }
        }
        let Incoming { sender, message, bytes, replies } = incoming;
        self.context.metrics.report_bytes.inc_by(bytes as u64);
        self.context.exchange.hear(&sender, self.context.clock.now());
        self.desk.workers.insert(sender.name.clone(), replies.clone());
        self.desk.hear(&sender, epoch);
        match message {
            FromWorker::Digests { sequence, digests, .. } => {
                let targets = self.differing(&sender, epoch, sequence, &digests);
                if !targets.is_empty() {
                    let _ = replies.try_send(ToWorker::Want { targets });
                }
                let _ = replies.try_send(ToWorker::Taken { sequence });
            }
            FromWorker::Report { sequence, meaning, mut report } => {
                if self.takes(&sender, &report.target, epoch, sequence) {
                    report.reported_by = sender.name.clone();
                    self.desk.wanted.answered(&report.target);
                    self.note(&sender, &report.target, meaning);
                    self.renew(&report.target);
                    self.on_report(*report);
                }
                let _ = replies.try_send(ToWorker::Taken { sequence });
            }
            FromWorker::Heartbeat(heartbeat) => self.on_heartbeat(&sender, &heartbeat, &replies),
        }
        self.show_unobserved();
    }

    /// Takes digests in, and gives those whose reports are wanted. A digest says nothing of when the target was looked
    /// at: the heartbeat behind it does, or the report.
    fn differing(&mut self, sender: &Arc<Incarnation>, epoch: Epoch, sequence: u64, digests: &[Digest]) -> Vec<u64> {
        let mut wanted = Vec::new();
        for digest in digests {
            // One that the watch hasn't shown yet is asked for when it does.
            let Some(key) = self.desk.names.get(&digest.target).cloned() else { continue };
            if !self.takes(sender, &key, epoch, sequence) {
                continue;
            }
            let Some(target) = self.targets.get(&key).filter(|target| target.desired.is_ok()) else { continue };
            let is_shown = target.status.as_ref().is_some_and(|status| status.meaning == *digest);
            let is_told = target.told.as_ref().is_some_and(|told| told.meaning == Some(digest.meaning));
            if is_shown {
                self.desk.wanted.answered(&key);
            } else if !is_told || target.stale || self.desk.wanted.contains(&key) {
                wanted.push(digest.target);
                self.desk.wanted.ask(key.clone(), Instant::now());
            }
            self.note(sender, &key, Some(digest.meaning));
        }
        wanted
    }

    /// Whether the sender is believed.
    fn takes(&mut self, sender: &Arc<Incarnation>, key: &TargetKey, epoch: Epoch, sequence: u64) -> bool {
        let accepted = self.desk.ownership.accept(&Stamp { sender, target: key, epoch, sequence });
        let outcome = match accepted {
            Ok(()) => "accepted",
            Err(Refusal::NotOwner) => "not_owner",
            Err(Refusal::StaleEpoch) => "stale_epoch",
            Err(Refusal::Superseded) => "superseded",
        };
        self.context.metrics.observations.with_label_values(&[outcome]).inc();
        if let Err(refusal) = &accepted {
            tracing::debug!(%refusal, replica = %sender.name, target = %key, %epoch, "not believed");
        }
        accepted.is_ok()
    }

    /// Asks whoever owns the targets what is true of them; an owner that can't be asked now, later.
    pub(super) fn ask_owners(&mut self, targets: impl IntoIterator<Item = TargetKey>) {
        let mut by_owner: BTreeMap<ReplicaName, Vec<TargetKey>> = BTreeMap::new();
        let is_sound = |key: &TargetKey| self.targets.get(key).is_some_and(|target| target.desired.is_ok());
        for key in targets.into_iter().filter(is_sound) {
            if let Some(owner) = self.desk.ownership.owner(Slot::of(&key)) {
                by_owner.entry(owner.name.clone()).or_default().push(key);
            }
        }
        for (owner, keys) in by_owner {
            if let Some(worker) = self.desk.workers.get(&owner) {
                let _ = worker.try_send(ToWorker::Want { targets: keys.iter().map(Digest::name).collect() });
            }
            let now = Instant::now();
            keys.into_iter().for_each(|key| self.desk.wanted.ask(key, now));
        }
    }

    /// Asks again for what was asked for and didn't come, and for what should have come of itself.
    pub(super) fn ask_again(&mut self) {
        let desk = &self.desk;
        let overdue = desk.wanted.overdue(Instant::now());
        let is_settled = desk.learned.is_some_and(|learned| learned.elapsed() > ASK_AGAIN);
        let silent = desk.unobserved.iter().filter(|key| is_settled && !desk.wanted.contains(key));
        let overdue: Vec<TargetKey> = overdue.chain(silent).cloned().collect();
        self.ask_owners(overdue);
    }

    /// Tells the keeper of the map how heavy each slot is.
    pub(super) fn weigh(&self) {
        let weights = Weights::of(self.targets.values().map(|target| target.slot));
        self.context.exchange.weights.send_if_modified(|known| {
            let changed = *known != weights;
            *known = weights;
            changed
        });
    }

    fn show_unobserved(&self) {
        self.context.metrics.targets_unobserved.set_count(self.desk.unobserved.len());
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
