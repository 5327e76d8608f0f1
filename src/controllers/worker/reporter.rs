//! Reports this worker's verdicts to the coordinator, as digests wherever a digest suffices.
//!
//! ```text
//! target tasks ─ Reports (newest wins) ─> newest of each target ─┬─ first on this link: its digest ──> coordinator
//!                                                                ├─ changed since: the report ────────>
//!                                                                └─ once per round: the heartbeat ────>
//! ```
//!
//! Without a link the newest report of each target is kept, so nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Overdue, ReportUpdate, Reports, Shard};
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::domain::replica::Incarnation;
use crate::domain::report::{FromWorker, Heartbeat, TargetReport, ToWorker};
use crate::domain::shard_map::Contact;
use crate::domain::slot::Slot;
use crate::domain::unsent::Unsent;
use crate::hub::StoredMap;
use crate::observability::{Metrics, as_gauge};
use crate::reports::{ConnectError, Incoming, Link, connect, local, read_token};

/// Digests per message: 48 kB.
const DIGESTS: usize = 2_000;

/// Bounds of the exponential pause after a link failed or ended.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub struct ReporterContext {
    pub me: Incarnation,
    pub reports: Arc<Reports>,
    pub shard: watch::Receiver<Shard>,
    pub map: watch::Receiver<Option<StoredMap>>,
    /// The in-process report channel; `Some` while this process leads.
    pub loopback: watch::Receiver<Option<mpsc::Sender<Incoming>>>,
    /// The ServiceAccount token that proves this Pod's identity.
    pub token_file: Option<std::path::PathBuf>,
    /// Interval of heartbeats.
    pub round: Duration,
    pub metrics: Metrics,
}

/// Runs forever.
pub async fn report(context: ReporterContext) {
    let mut reporter = Reporter {
        newest: BTreeMap::new(),
        target_keys: BTreeMap::new(),
        pending: BTreeSet::new(),
        held_back: BTreeSet::new(),
        unsent: Unsent::default(),
        sequence: 0,
        context,
    };
    let (mut map, mut loopback) = (reporter.context.map.clone(), reporter.context.loopback.clone());
    let mut pause = SHORTEST_PAUSE;
    loop {
        map.mark_unchanged();
        loopback.mark_unchanged();
        let began = Instant::now();
        reporter.run_session().await;
        // A link that lasted ended for a reason of its own: reconnect without back-off.
        pause = if began.elapsed() > LONGEST_PAUSE { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = sleep(pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())) => {}
            _ = map.changed() => pause = SHORTEST_PAUSE,
            _ = loopback.changed() => pause = SHORTEST_PAUSE,
            () = reporter.apply_updates() => {}
        }
    }
}

struct Reporter {
    context: ReporterContext,
    newest: BTreeMap<TargetKey, Newest>,
    /// By [`Digest::target`].
    target_keys: BTreeMap<u64, TargetKey>,
    /// Targets with something to send.
    pending: BTreeSet<u64>,
    /// Overdue targets whose first digest on this link waits for a new observation.
    held_back: BTreeSet<u64>,
    unsent: Unsent,
    sequence: u64,
}

struct Newest {
    report: Box<TargetReport>,
    digest: Digest,
    /// The digest last sent on this link.
    last_sent: Option<Digest>,
    overdue: Arc<Overdue>,
}

/// The coordinator: this process, or the one at the ShardMap's address.
#[derive(Clone, PartialEq)]
enum Peer {
    Local,
    Remote(Contact),
}

impl Reporter {
    /// Connects to the current coordinator and reports to it until the link ends or the peer changes.
    async fn run_session(&mut self) {
        let Some(peer) = self.peer() else { return };
        let link = match &peer {
            Peer::Local => {
                let Some(loopback) = self.context.loopback.borrow().clone() else { return };
                local(self.context.me.clone(), loopback)
            }
            Peer::Remote(contact) => {
                let dialed = tokio::select! {
                    dialed = self.dial(contact) => dialed,
                    () = self.peer_changed(&peer) => return,
                };
                match dialed {
                    Ok(link) => link,
                    Err(error) => {
                        self.context.metrics.links_failed.inc();
                        tracing::warn!(coordinator = contact.address, %error, "can't report to the coordinator; trying again");
                        return;
                    }
                }
            }
        };
        if self.drive_link(link, &peer).await == SessionEnd::LinkEnded && self.peer().as_ref() == Some(&peer) {
            self.context.metrics.links_ended.inc();
        }
        if let Some(target) = self.unsent.link_ended() {
            let target = self.target_keys.get(&target).map(ToString::to_string);
            tracing::warn!(target, "its report ended two links to the coordinator; not sending it until it changes");
        }
        self.context.metrics.reports_skipped.set(as_gauge(self.unsent.left_out()));
    }

    fn peer(&self) -> Option<Peer> {
        let map = self.context.map.borrow();
        let published = &map.as_ref()?.published;
        if published.coordinator == self.context.me {
            return self.context.loopback.borrow().is_some().then_some(Peer::Local);
        }
        published.contact.clone().map(Peer::Remote)
    }

    /// Returns when the peer is no longer `peer`: a dead coordinator may not even refuse connections.
    async fn peer_changed(&self, peer: &Peer) {
        let (mut map, mut loopback) = (self.context.map.clone(), self.context.loopback.clone());
        while self.peer().as_ref() == Some(peer) {
            let changed = tokio::select! {
                changed = map.changed() => changed,
                changed = loopback.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
        }
    }

    async fn dial(&self, contact: &Contact) -> Result<Link, ConnectError> {
        let token = read_token(self.context.token_file.as_deref()).await?;
        connect(&contact.address, &contact.certificate_sha256, token, &self.context.me).await
    }

    async fn drive_link(&mut self, mut link: Link, peer: &Peer) -> SessionEnd {
        let mut shard = self.context.shard.clone();
        shard.mark_unchanged();
        let reports = self.context.reports.clone();
        let mut heartbeats = interval(self.context.round);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.send_all(&link).await.is_err() {
            return SessionEnd::LinkEnded;
        }
        loop {
            let sent = tokio::select! {
                update = reports.dequeue() => {
                    self.apply(update);
                    while let Some(more) = reports.try_dequeue() { self.apply(more); }
                    self.send_changes(&link).await
                }
                answer = link.from_coordinator.recv() => match answer {
                    Some(ToWorker::Want { mut targets }) => {
                        targets.retain(|target| !self.held_back.contains(target));
                        self.send_reports(&link, &targets).await
                    }
                    Some(ToWorker::Confirm) => self.send_confirmation(&link).await,
                    Some(ToWorker::Taken { sequence }) => {
                        self.unsent.acknowledged(sequence);
                        Ok(())
                    }
                    None => return SessionEnd::LinkEnded,
                },
                _ = heartbeats.tick() => self.send_due_heartbeat(&link).await,
                // Reports sent under an older map may have been refused: an intermediate version moved a slot away and
                // back, or this process claimed a new term before it read the map of its claim.
                _ = shard.changed() => match self.send_all(&link).await {
                    Ok(()) => self.send_due_heartbeat(&link).await,
                    ended => ended,
                },
                () = self.peer_changed(peer) => return SessionEnd::PeerChanged,
            };
            if sent.is_err() {
                return SessionEnd::LinkEnded;
            }
        }
    }

    /// Applies updates while there is no link. Runs forever.
    async fn apply_updates(&mut self) {
        let reports = self.context.reports.clone();
        loop {
            let update = reports.dequeue().await;
            self.apply(update);
        }
    }

    fn apply(&mut self, (key, update): (TargetKey, ReportUpdate)) {
        let is_ours = self.context.shard.borrow().slots.contains(Slot::of(&key));
        match update {
            // A task may report once more after its slot was lost.
            ReportUpdate::Changed { report, digest, overdue } if is_ours => {
                let last_sent = self.newest.remove(&key).and_then(|former| former.last_sent);
                if last_sent != Some(digest) {
                    self.pending.insert(digest.target);
                }
                self.target_keys.insert(digest.target, key.clone());
                self.newest.insert(key, Newest { report, digest, last_sent, overdue });
            }
            _ => self.forget(&key),
        }
    }

    fn forget(&mut self, key: &TargetKey) {
        if let Some(former) = self.newest.remove(key) {
            self.unsent.forget(former.digest.target);
            self.target_keys.remove(&former.digest.target);
            self.pending.remove(&former.digest.target);
            self.held_back.remove(&former.digest.target);
        }
    }

    /// Resends all targets that the current map assigns to this worker.
    async fn send_all(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let slots = self.context.shard.borrow().slots.clone();
        let lost: Vec<TargetKey> = self.newest.keys().filter(|key| !slots.contains(Slot::of(key))).cloned().collect();
        lost.iter().for_each(|key| self.forget(key));
        self.newest.values_mut().for_each(|newest| newest.last_sent = None);
        self.pending = self.target_keys.keys().copied().collect();
        self.held_back.clear();
        self.send_changes(link).await
    }

    /// Sends pending targets: a digest the first time on this link, the report if the digest changed since.
    async fn send_changes(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let (mut first, mut changed) = (Vec::new(), Vec::new());
        for target in std::mem::take(&mut self.pending) {
            let Some(newest) = self.target_keys.get(&target).and_then(|key| self.newest.get_mut(key)) else { continue };
            match newest.last_sent {
                // The coordinator would take the old verdict for a current one.
                None if newest.overdue.is_past() => {
                    self.held_back.insert(target);
                    continue;
                }
                None => first.push(newest.digest),
                Some(_) => changed.push(target),
            }
            newest.last_sent = Some(newest.digest);
        }
        self.send_digests(link, &first).await?;
        self.send_reports(link, &changed).await
    }

    async fn send_digests(&mut self, link: &Link, digests: &[Digest]) -> Result<(), LinkClosed> {
        for digests in digests.chunks(DIGESTS) {
            self.sequence += 1;
            let epoch = self.context.shard.borrow().epoch;
            send(link, FromWorker::Digests { sequence: self.sequence, epoch, digests: digests.to_vec() }).await?;
        }
        Ok(())
    }

    async fn send_reports(&mut self, link: &Link, targets: &[u64]) -> Result<(), LinkClosed> {
        for target in targets {
            let Some(newest) = self.target_keys.get(target).and_then(|key| self.newest.get(key)) else { continue };
            if !self.unsent.may_send(&newest.digest) {
                continue;
            }
            self.sequence += 1;
            self.unsent.sent(self.sequence, newest.digest);
            let epoch = self.context.shard.borrow().epoch;
            let report = Box::new(TargetReport { epoch, ..TargetReport::clone(&newest.report) });
            let (sequence, meaning) = (self.sequence, Some(newest.digest.meaning));
            send(link, FromWorker::Report { sequence, meaning, report }).await?;
        }
        Ok(())
    }

    /// Sends the digests of everything sent on this link, and a heartbeat.
    async fn send_confirmation(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let digests: Vec<Digest> = self.in_sync().map(|newest| newest.digest).collect();
        self.send_digests(link, &digests).await?;
        self.send_heartbeat(link, true).await
    }

    async fn send_due_heartbeat(&mut self, link: &Link) -> Result<(), LinkClosed> {
        self.pending.append(&mut self.held_back);
        self.send_changes(link).await?;
        self.send_heartbeat(link, false).await
    }

    async fn send_heartbeat(&self, link: &Link, confirms: bool) -> Result<(), LinkClosed> {
        let late = self.in_sync().filter(|newest| newest.overdue.is_past()).map(|newest| newest.digest.target);
        // Iterating over ten thousand targets costs less than one report.
        let heartbeat = Heartbeat {
            epoch: self.context.shard.borrow().epoch,
            targets: u32::try_from(self.in_sync().count()).unwrap_or(u32::MAX),
            late: late.collect(),
            set: Some(Digest::of_set(self.in_sync().map(|newest| newest.digest))),
            confirms,
        };
        send(link, FromWorker::Heartbeat(heartbeat)).await
    }

    /// Targets whose newest digest has been sent on this link.
    fn in_sync(&self) -> impl Iterator<Item = &Newest> {
        self.newest.values().filter(|newest| newest.last_sent == Some(newest.digest))
    }
}

#[derive(PartialEq)]
enum SessionEnd {
    PeerChanged,
    LinkEnded,
}

struct LinkClosed;

async fn send(link: &Link, message: FromWorker) -> Result<(), LinkClosed> {
    link.to_coordinator.send(message).await.map_err(|_| LinkClosed)
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
