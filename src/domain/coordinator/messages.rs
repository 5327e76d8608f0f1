//! Messages of workers: accepted from the owner of the slot, refused from any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::effect::{Effect, Metric, Notice};
use super::event::Message;
use super::fleet::Fleet;
use super::target::Target;
use super::wanted::ASK_AGAIN;
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::ownership::{Refusal, Stamp};
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::report::{FromWorker, Heartbeat, ToWorker};
use crate::domain::shard_map::ShardMap;
use crate::domain::slot::Slot;

impl Fleet {
    /// Takes in a version of the map. Call it for every version: none may be skipped.
    pub(super) fn on_map(&mut self, map: &ShardMap) {
        let sessions = &mut self.sessions;
        sessions.ownership.learn(map);
        (sessions.epoch, sessions.map_changed) = (map.epoch, Some(self.now.clock));
        sessions.drop_others_than(&map.members);
        let is_unobserved = |target: &Target| {
            let reporter = target.last_message.as_ref().map(|last| last.sender.as_ref());
            reporter.is_none() || sessions.ownership.owner(target.slot) != reporter
        };
        let usable = self.targets.iter().filter(|(_, target)| target.desired.is_ok());
        let unobserved = usable.filter(|(_, target)| is_unobserved(target)).map(|(key, _)| key.clone()).collect();
        sessions.unobserved = unobserved;
        self.show_unobserved();
        // Last: a reader of the epoch sees how many targets it leaves unobserved.
        self.measure(Metric::Epoch(map.epoch));
        let deferred = self.sessions.take_deferred();
        deferred.for_each(|message| self.on_message(message));
    }

    pub(super) fn on_message(&mut self, mut incoming: Message) {
        let epoch = match &incoming.message {
            FromWorker::Digests { epoch, .. } | FromWorker::Heartbeat(Heartbeat { epoch, .. }) => *epoch,
            FromWorker::Report { report, .. } => report.epoch,
        };
        if epoch > self.sessions.epoch {
            match self.sessions.defer(incoming) {
                Ok(()) => return,
                // Too much of this sender waits: it is judged by the map that is known.
                Err(refused) => incoming = refused,
            }
        }
        let Message { sender, message, bytes: _ } = incoming;
        self.sessions.hear(&sender, epoch, self.now.clock);
        match message {
            FromWorker::Digests { sequence, digests, .. } => {
                let targets = self.differing(&sender, epoch, sequence, &digests);
                if !targets.is_empty() {
                    self.send(&sender, ToWorker::Want { targets });
                }
                self.send(&sender, ToWorker::Taken { sequence });
            }
            FromWorker::Report { sequence, meaning, mut report } => {
                if self.accepts(&sender, &report.target, epoch, sequence) {
                    report.reported_by = sender.name.clone();
                    self.sessions.wanted.answered(&report.target);
                    self.note(&sender, &report.target, meaning);
                    self.renew(&report.target);
                    self.on_report(*report);
                }
                self.send(&sender, ToWorker::Taken { sequence });
            }
            FromWorker::Heartbeat(heartbeat) => self.on_heartbeat(&sender, &heartbeat),
        }
        self.show_unobserved();
    }

    pub(super) fn send(&mut self, to: &Arc<Incarnation>, message: ToWorker) {
        self.effects.push(Effect::Send { to: to.clone(), message });
    }

    /// Takes digests in, and returns those whose reports are wanted. A digest doesn't tell when the target was observed:
    /// the heartbeat behind it does, or the report.
    fn differing(&mut self, sender: &Arc<Incarnation>, epoch: Epoch, sequence: u64, digests: &[Digest]) -> Vec<u64> {
        let mut wanted = Vec::new();
        for digest in digests {
            // A target that the watch hasn't shown yet is asked for when it does.
            let Some(key) = self.sessions.names.get(&digest.target).cloned() else { continue };
            if !self.accepts(sender, &key, epoch, sequence) {
                continue;
            }
            let Some(target) = self.targets.get(&key).filter(|target| target.desired.is_ok()) else { continue };
            let is_shown = target.status.as_ref().is_some_and(|cached| cached.digest == *digest);
            let is_reported = target.last_message.as_ref().is_some_and(|last| last.meaning == Some(digest.meaning));
            if is_shown {
                self.sessions.wanted.answered(&key);
            } else if !is_reported || target.is_stale || self.sessions.wanted.contains(&key) {
                wanted.push(digest.target);
                self.sessions.wanted.ask(key.clone(), self.now.clock);
            }
            self.note(sender, &key, Some(digest.meaning));
        }
        wanted
    }

    /// Whether the sender may report the target.
    fn accepts(&mut self, sender: &Arc<Incarnation>, key: &TargetKey, epoch: Epoch, sequence: u64) -> bool {
        let accepted = self.sessions.ownership.accept(&Stamp { sender, target: key, epoch, sequence });
        let outcome = match accepted {
            Ok(()) => "accepted",
            Err(Refusal::NotOwner) => "not_owner",
            Err(Refusal::StaleEpoch) => "stale_epoch",
            Err(Refusal::Superseded) => "superseded",
        };
        self.measure(Metric::Observation(outcome));
        if let Err(refusal) = accepted {
            let (sender, target) = (sender.clone(), key.clone());
            self.effects.push(Effect::Log(Notice::NotAccepted { sender, target, epoch, refusal }));
        }
        accepted.is_ok()
    }

    /// Asks the owners of the targets for reports, now or when they have a session.
    pub(super) fn ask_owners(&mut self, targets: impl IntoIterator<Item = TargetKey>) {
        let mut by_owner: BTreeMap<ReplicaName, Vec<TargetKey>> = BTreeMap::new();
        let is_usable = |key: &TargetKey| self.targets.get(key).is_some_and(|target| target.desired.is_ok());
        for key in targets.into_iter().filter(is_usable) {
            if let Some(owner) = self.sessions.ownership.owner(Slot::of(&key)) {
                by_owner.entry(owner.name.clone()).or_default().push(key);
            }
        }
        for (owner, keys) in by_owner {
            if let Some(worker) = self.sessions.process(&owner).cloned() {
                self.send(&worker, ToWorker::Want { targets: keys.iter().map(Digest::name).collect() });
            }
            let now = self.now.clock;
            keys.into_iter().for_each(|key| self.sessions.wanted.ask(key, now));
        }
    }

    /// Asks again for reports that were asked for and didn't come, and for those that should have come unasked.
    pub(super) fn ask_again(&mut self) {
        let (sessions, now) = (&self.sessions, self.now.clock);
        let overdue = sessions.wanted.overdue(now);
        let is_settled = sessions.map_changed.is_some_and(|changed| now.saturating_sub(changed) > ASK_AGAIN);
        let silent = sessions.unobserved.iter().filter(|key| is_settled && !sessions.wanted.contains(key));
        let overdue: Vec<TargetKey> = overdue.chain(silent).cloned().collect();
        self.ask_owners(overdue);
    }

    pub(super) fn show_unobserved(&mut self) {
        self.measure(Metric::Unobserved(self.sessions.unobserved.len()));
    }
}

#[cfg(test)]
#[path = "messages_tests.rs"]
mod tests;
