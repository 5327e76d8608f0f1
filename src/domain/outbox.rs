//! A worker's reports on their way to the coordinator: as digests wherever a digest suffices.
//!
//! ```text
//! target tasks ─> newest report of each target ─┬─ first on this link: its digest ──> coordinator
//!                                               ├─ changed since: the report ───────>
//!                                               └─ once per round: the heartbeat ───>
//! ```
//!
//! Without a link the newest report of each target is kept, so nothing is lost.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::digest::Digest;
use super::keys::TargetKey;
use super::replica::Epoch;
use super::report::{FromWorker, Heartbeat, TargetReport, ToWorker};
use super::slot::{Slot, SlotSet};
use super::unsent::Unsent;

/// Digests per message: 48 kB.
const DIGESTS: usize = 2_000;

/// A round is overdue after this many times the delay until it was due.
const GRACE: u32 = 2;

/// The time at which a target's observation is overdue: set by its task, read with each heartbeat. In milliseconds.
#[derive(Debug, Default)]
pub struct Overdue(AtomicU64);

impl Overdue {
    /// The target was observed at `now` and is due again after `next`.
    pub fn set(&self, now: Duration, next: Duration) {
        self.0.store(milliseconds(now.saturating_add(next * GRACE)), Ordering::Relaxed);
    }

    pub(crate) fn is_past(&self, now: Duration) -> bool {
        milliseconds(now) > self.0.load(Ordering::Relaxed)
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The newest reports of a worker, and what the coordinator has of them.
#[derive(Default)]
pub struct Outbox {
    slots: SlotSet,
    epoch: Epoch,
    newest: BTreeMap<TargetKey, Newest>,
    /// By [`Digest::target`].
    target_keys: BTreeMap<u64, TargetKey>,
    /// Targets with something to send.
    pending: BTreeSet<u64>,
    /// Overdue targets whose first digest on this link waits for a new observation.
    held_back: BTreeSet<u64>,
    unsent: Unsent,
    sequence: u64,
    queue: VecDeque<Queued>,
}

struct Newest {
    report: Box<TargetReport>,
    digest: Digest,
    /// The digest last sent on this link.
    last_sent: Option<Digest>,
    overdue: Arc<Overdue>,
}

/// A message to build: thousands of reports may be queued.
enum Queued {
    Digests(Vec<Digest>),
    /// The report of a target, as in [`Digest::target`].
    Report(u64),
    Heartbeat {
        confirms: bool,
    },
}

impl Outbox {
    /// The slots of this worker by the newest map. Call it before anything that depends on them.
    pub fn set_shard(&mut self, slots: &SlotSet, epoch: Epoch) {
        if self.epoch != epoch || self.slots != *slots {
            (self.slots, self.epoch) = (slots.clone(), epoch);
        }
    }

    /// A target has a new report. One in a slot that was lost meanwhile is forgotten.
    pub fn put(&mut self, report: Box<TargetReport>, digest: Digest, overdue: Arc<Overdue>) {
        let key = report.target.clone();
        if !self.slots.contains(Slot::of(&key)) {
            return self.remove(&key);
        }
        let last_sent = self.newest.remove(&key).and_then(|former| former.last_sent);
        if last_sent != Some(digest) {
            self.pending.insert(digest.target);
        }
        self.target_keys.insert(digest.target, key.clone());
        self.newest.insert(key, Newest { report, digest, last_sent, overdue });
    }

    /// The target is gone, or not this worker's any more.
    pub fn remove(&mut self, key: &TargetKey) {
        if let Some(former) = self.newest.remove(key) {
            self.unsent.forget(former.digest.target);
            self.target_keys.remove(&former.digest.target);
            self.pending.remove(&former.digest.target);
            self.held_back.remove(&former.digest.target);
        }
    }

    /// A link begins, or the map changed: queues all targets that the map assigns to this worker. Reports sent under an
    /// older map may have been refused: an intermediate version moved a slot away and back, or this process claimed a
    /// new term before it read the map of its claim.
    pub fn queue_all(&mut self, now: Duration) {
        let slots = &self.slots;
        let lost: Vec<TargetKey> = self.newest.keys().filter(|key| !slots.contains(Slot::of(key))).cloned().collect();
        lost.iter().for_each(|key| self.remove(key));
        self.newest.values_mut().for_each(|newest| newest.last_sent = None);
        self.pending = self.target_keys.keys().copied().collect();
        self.held_back.clear();
        self.queue_changes(now);
    }

    /// Queues pending targets: a digest the first time on this link, the report if the digest changed since.
    pub fn queue_changes(&mut self, now: Duration) {
        let (mut first, mut changed) = (Vec::new(), Vec::new());
        for target in std::mem::take(&mut self.pending) {
            let Some(newest) = self.target_keys.get(&target).and_then(|key| self.newest.get_mut(key)) else { continue };
            match newest.last_sent {
                // The coordinator would take the old verdict for a current one.
                None if newest.overdue.is_past(now) => {
                    self.held_back.insert(target);
                    continue;
                }
                None => first.push(newest.digest),
                Some(_) => changed.push(target),
            }
            newest.last_sent = Some(newest.digest);
        }
        self.queue_digests(&first);
        self.queue.extend(changed.into_iter().map(Queued::Report));
    }

    /// Queues a heartbeat, before it the targets that were held back and are not overdue any more, and behind it the
    /// reports that ended links: nothing else has to wait if they end this one as well.
    pub fn queue_heartbeat(&mut self, now: Duration) {
        self.pending.append(&mut self.held_back);
        self.queue_changes(now);
        self.queue.push_back(Queued::Heartbeat { confirms: false });
        self.queue.extend(self.unsent.to_retry(now).map(Queued::Report));
    }

    /// Queues the requested messages; an acknowledgement queues nothing.
    pub fn on_answer(&mut self, answer: ToWorker) {
        match answer {
            ToWorker::Want { mut targets } => {
                targets.retain(|target| !self.held_back.contains(target));
                self.queue.extend(targets.into_iter().map(Queued::Report));
            }
            ToWorker::Confirm => {
                let digests: Vec<Digest> = self.in_sync().map(|newest| newest.digest).collect();
                self.queue_digests(&digests);
                self.queue.push_back(Queued::Heartbeat { confirms: true });
            }
            ToWorker::Taken { sequence } => self.unsent.acknowledged(sequence),
        }
    }

    /// The next message to send; `None` if nothing is queued.
    pub fn next_message(&mut self, now: Duration) -> Option<FromWorker> {
        loop {
            match self.queue.pop_front()? {
                Queued::Digests(digests) => {
                    self.sequence += 1;
                    return Some(FromWorker::Digests { sequence: self.sequence, epoch: self.epoch, digests });
                }
                Queued::Heartbeat { confirms } => return Some(FromWorker::Heartbeat(self.heartbeat(confirms, now))),
                Queued::Report(target) => {
                    if let Some(report) = self.report(target, now) {
                        return Some(report);
                    }
                }
            }
        }
    }

    /// The link ended. Returns the target whose report ended two links, if any: it is left out for a while.
    pub fn link_ended(&mut self, now: Duration) -> Option<TargetKey> {
        self.queue.clear();
        let target = self.unsent.link_ended(now)?;
        self.target_keys.get(&target).cloned()
    }

    /// Number of reports that are left out.
    pub fn left_out(&self) -> usize {
        self.unsent.left_out()
    }

    fn queue_digests(&mut self, digests: &[Digest]) {
        self.queue.extend(digests.chunks(DIGESTS).map(|chunk| Queued::Digests(chunk.to_vec())));
    }

    /// `None` for a target that is gone, or left out.
    fn report(&mut self, target: u64, now: Duration) -> Option<FromWorker> {
        let newest = self.target_keys.get(&target).and_then(|key| self.newest.get(key))?;
        if !self.unsent.may_send(&newest.digest, now) {
            return None;
        }
        self.sequence += 1;
        self.unsent.sent(self.sequence, newest.digest);
        let report = Box::new(TargetReport { epoch: self.epoch, ..TargetReport::clone(&newest.report) });
        Some(FromWorker::Report { sequence: self.sequence, meaning: Some(newest.digest.meaning), report })
    }

    fn heartbeat(&self, confirms: bool, now: Duration) -> Heartbeat {
        let late = self.in_sync().filter(|newest| newest.overdue.is_past(now)).map(|newest| newest.digest.target);
        // Iterating over ten thousand targets costs less than one report.
        Heartbeat {
            epoch: self.epoch,
            targets: u32::try_from(self.in_sync().count()).unwrap_or(u32::MAX),
            late: late.collect(),
            set: Some(Digest::of_set(self.in_sync().map(|newest| newest.digest))),
            confirms,
        }
    }

    /// Targets whose newest digest has been sent on this link.
    fn in_sync(&self) -> impl Iterator<Item = &Newest> {
        self.newest.values().filter(|newest| newest.last_sent == Some(newest.digest))
    }
}
