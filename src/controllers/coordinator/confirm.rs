//! Freshness by confirmation: a heartbeat renews what both sides agree that its worker has.
//!
//! ```text
//! heartbeat: count and digest of a set ── as known here ──> its targets are renewed, but for the late ones
//!                                      └─ other ──> Confirm ──> digests ──> heartbeat: those that were told are renewed
//! ```
//!
//! A link keeps the order of messages, so the two sides agree even while reports are under way. They differ for a moment
//! when a target comes, goes or moves, and for longer when a worker has lost one: nothing renews that one any more.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::fleet::{Fleet, Target, Told};
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::replica::Incarnation;
use crate::domain::report::{Heartbeat, ToWorker};

impl Fleet {
    /// `sender` told of a target.
    pub(super) fn note(&mut self, sender: &Arc<Incarnation>, key: &TargetKey, meaning: Option<u128>) {
        let Some(target) = self.targets.get_mut(key).filter(|target| target.desired.is_ok()) else { return };
        if target.told.as_ref().is_none_or(|told| told.by != *sender) {
            self.desk.first_look(sender);
        }
        target.told = Some(Told { by: sender.clone(), meaning, at: Instant::now() });
        self.desk.unobserved.remove(key);
    }

    pub(super) fn on_heartbeat(
        &mut self,
        sender: &Arc<Incarnation>,
        heartbeat: &Heartbeat,
        replies: &mpsc::Sender<ToWorker>,
    ) {
        let mut theirs = self.told_by(sender);
        if let Some(set) = heartbeat.set {
            let asked = self.desk.asked.get(&sender.name).copied();
            if let Some(asked) = asked.filter(|_| heartbeat.confirms) {
                theirs = self.keep_confirmed(theirs, asked);
            }
            let agrees = theirs.len() == heartbeat.targets as usize && self.set_of(&theirs) == Some(set);
            if !agrees {
                // Not after the heartbeat that belongs to an answer: once a round is enough.
                let is_due = asked.is_none_or(|asked| asked.elapsed() >= self.context.round / 2);
                if is_due && replies.try_send(ToWorker::Confirm).is_ok() {
                    self.desk.asked.insert(sender.name.clone(), Instant::now());
                }
                if !heartbeat.confirms {
                    return;
                }
            }
        }
        self.renew_all(theirs, &heartbeat.late);
    }

    /// The targets of which `sender`, who owns them, told last.
    fn told_by(&self, sender: &Arc<Incarnation>) -> Vec<TargetKey> {
        let is_theirs = |target: &Target| {
            target.told.as_ref().is_some_and(|told| told.by == *sender)
                && self.desk.ownership.owner(target.slot) == Some(sender.as_ref())
        };
        self.targets.iter().filter(|(_, target)| is_theirs(target)).map(|(key, _)| key.clone()).collect()
    }

    /// The targets of `theirs` whose digest came after the request to confirm. Their worker has lost the others.
    fn keep_confirmed(&mut self, theirs: Vec<TargetKey>, asked: Instant) -> Vec<TargetKey> {
        let is_told = |target: &Target| target.told.as_ref().is_some_and(|told| told.at >= asked);
        let (confirmed, lost): (Vec<_>, Vec<_>) =
            theirs.into_iter().partition(|key| self.targets.get(key).is_some_and(is_told));
        if let Some(first) = lost.first() {
            tracing::warn!(
                targets = lost.len(),
                %first,
                "targets are not confirmed by their replica: it has not observed them in time, or their label \
                 ksit.io/slot is wrong"
            );
        }
        for key in lost {
            if let Some(target) = self.targets.get_mut(&key) {
                target.told = None;
            }
            self.desk.unobserved.insert(key);
        }
        confirmed
    }

    /// `None` if the digest of one is not known.
    fn set_of(&self, targets: &[TargetKey]) -> Option<u64> {
        let digest = |key: &TargetKey| {
            let meaning = self.targets.get(key)?.told.as_ref()?.meaning?;
            Some(Digest { target: Digest::name(key), meaning })
        };
        Some(Digest::of_set(targets.iter().map(digest).collect::<Option<Vec<_>>>()?))
    }

    fn renew_all(&mut self, targets: Vec<TargetKey>, late: &[u64]) {
        let late: BTreeSet<&TargetKey> = late.iter().filter_map(|target| self.desk.names.get(target)).collect();
        // A report that is on its way, or doesn't get through, may say otherwise.
        let is_clear = |key: &TargetKey| !late.contains(key) && !self.desk.wanted.contains(key);
        let confirmed: Vec<TargetKey> = targets.into_iter().filter(is_clear).collect();
        confirmed.iter().for_each(|key| self.renew(key));
        // Its former verdict may be true again, and then its worker has no news of it.
        let is_stale = |key: &TargetKey| self.targets.get(key).is_some_and(|target| target.stale);
        let stale: Vec<TargetKey> = confirmed.into_iter().filter(is_stale).collect();
        self.ask_owners(stale);
    }
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;
