//! Freshness by confirmation: a heartbeat renews the targets on which both sides agree.
//!
//! ```text
//! heartbeat: count and digest of a set ── as known here ──> its targets are renewed, except the late ones
//!                                      └─ other ──> Confirm ──> digests ──> heartbeat: those with a digest are renewed
//! ```
//!
//! A link keeps the order of messages, so the two sides agree even while reports are under way. They differ for a moment
//! when a target comes, goes or moves, and for longer when a worker has lost one: nothing renews that one any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::effect::{Effect, Notice};
use super::fleet::Fleet;
use super::target::{LastMessage, Target};
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::replica::Incarnation;
use crate::domain::report::{Heartbeat, ToWorker};

impl Fleet {
    /// Remembers that `sender` reported the target.
    pub(super) fn note(&mut self, sender: &Arc<Incarnation>, key: &TargetKey, meaning: Option<u128>) {
        let at = self.now.clock;
        let Some(target) = self.targets.get_mut(key).filter(|target| target.desired.is_ok()) else { return };
        if target.last_message.as_ref().is_none_or(|last| last.sender != *sender) {
            self.sessions.reported_first(sender, at);
        }
        target.last_message = Some(LastMessage { sender: sender.clone(), meaning, at });
        self.sessions.unobserved.remove(key);
    }

    pub(super) fn on_heartbeat(&mut self, sender: &Arc<Incarnation>, heartbeat: &Heartbeat) {
        let mut theirs = self.reported_by(sender);
        if let Some(set) = heartbeat.set {
            let asked = self.sessions.confirm_asked.get(&sender.name).copied();
            if let Some(asked) = asked.filter(|_| heartbeat.confirms) {
                theirs = self.keep_confirmed(theirs, asked);
            }
            let agrees = theirs.len() == heartbeat.targets as usize && self.set_of(&theirs) == Some(set);
            if !agrees {
                // Once a round is enough, also right after the answer to the last request.
                let now = self.now.clock;
                if asked.is_none_or(|asked| now.saturating_sub(asked) >= self.round / 2) {
                    self.send(sender, ToWorker::Confirm);
                    self.sessions.confirm_asked.insert(sender.name.clone(), now);
                }
                if !heartbeat.confirms {
                    return;
                }
            }
        }
        self.renew_all(theirs, &heartbeat.late);
    }

    /// The targets that `sender` owns and was the last to report.
    fn reported_by(&self, sender: &Arc<Incarnation>) -> Vec<TargetKey> {
        let is_theirs = |target: &Target| {
            target.last_message.as_ref().is_some_and(|last| last.sender == *sender)
                && self.sessions.ownership.owner(target.slot) == Some(sender.as_ref())
        };
        self.targets.iter().filter(|(_, target)| is_theirs(target)).map(|(key, _)| key.clone()).collect()
    }

    /// The targets of `theirs` whose digest came after the request to confirm. Their worker has lost the others.
    fn keep_confirmed(&mut self, theirs: Vec<TargetKey>, asked: Duration) -> Vec<TargetKey> {
        let is_confirmed = |target: &Target| target.last_message.as_ref().is_some_and(|last| last.at >= asked);
        let (confirmed, lost): (Vec<_>, Vec<_>) =
            theirs.into_iter().partition(|key| self.targets.get(key).is_some_and(is_confirmed));
        if let Some(first) = lost.first().cloned() {
            self.effects.push(Effect::Log(Notice::Unconfirmed { targets: lost.len(), first }));
        }
        for key in lost {
            if let Some(target) = self.targets.get_mut(&key) {
                target.last_message = None;
            }
            self.sessions.unobserved.insert(key);
        }
        confirmed
    }

    /// `None` if the digest of one of them is not known.
    fn set_of(&self, targets: &[TargetKey]) -> Option<u64> {
        let digest = |key: &TargetKey| {
            let meaning = self.targets.get(key)?.last_message.as_ref()?.meaning?;
            Some(Digest { target: Digest::name(key), meaning })
        };
        Some(Digest::of_set(targets.iter().map(digest).collect::<Option<Vec<_>>>()?))
    }

    fn renew_all(&mut self, targets: Vec<TargetKey>, late: &[u64]) {
        let late: BTreeSet<&TargetKey> = late.iter().filter_map(|target| self.sessions.names.get(target)).collect();
        // A report that is under way, or doesn't get through, may differ.
        let is_clear = |key: &TargetKey| !late.contains(key) && !self.sessions.wanted.contains(key);
        let confirmed: Vec<TargetKey> = targets.into_iter().filter(is_clear).collect();
        confirmed.iter().for_each(|key| self.renew(key));
        // The verdict may equal the one that was published before the target was marked stale: its worker would never
        // resend it.
        let is_stale = |key: &TargetKey| self.targets.get(key).is_some_and(|target| target.is_stale);
        let stale: Vec<TargetKey> = confirmed.into_iter().filter(is_stale).collect();
        self.ask_owners(stale);
    }
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;
