//! Tells the coordinator what this worker sees, and no more often than it has to.
//!
//! ```text
//! target tasks ─ Reports (newest wins) ─> newest of each target ─┬─ first on this link: its digest ──> coordinator
//!                                                                ├─ means something new: the report ─>
//!                                                                └─ once a round: the heartbeat ─────>
//! ```
//!
//! While there is no coordinator the newest report of each target is kept, and nothing is lost.

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

/// Digests in one message: 48 kB.
const DIGESTS: usize = 2_000;

/// Pause after a link that could not be made or that ended; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

pub struct ReporterContext {
    pub me: Incarnation,
    pub reports: Arc<Reports>,
    pub shard: watch::Receiver<Shard>,
    pub map: watch::Receiver<Option<StoredMap>>,
    /// Open while this very process leads.
    pub loopback: watch::Receiver<Option<mpsc::Sender<Incoming>>>,
    /// The ServiceAccount token that proves which Pod this is.
    pub token_file: Option<std::path::PathBuf>,
    /// Time between heartbeats.
    pub round: Duration,
    pub metrics: Metrics,
}

/// For ever.
pub async fn report(context: ReporterContext) {
    let mut reporter = Reporter {
        newest: BTreeMap::new(),
        names: BTreeMap::new(),
        news: BTreeSet::new(),
        held: BTreeSet::new(),
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
        // One that held for a while ended for a reason of its own: the next is made at once.
        pause = if began.elapsed() > LONGEST_PAUSE { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        tokio::select! {
            () = sleep(pause.mul_f64(0.5 + 0.5 * rand::random::<f64>())) => {}
            _ = map.changed() => pause = SHORTEST_PAUSE,
            _ = loopback.changed() => pause = SHORTEST_PAUSE,
            () = reporter.collect() => {}
        }
    }
}

struct Reporter {
    context: ReporterContext,
    newest: BTreeMap<TargetKey, Newest>,
    /// By [`Digest::target`].
    names: BTreeMap<u64, TargetKey>,
    /// Those of which there is something to tell.
    news: BTreeSet<u64>,
    /// Those of them that nobody has told of on this link, and that are overdue.
    held: BTreeSet<u64>,
    unsent: Unsent,
    sequence: u64,
}

struct Newest {
    report: Box<TargetReport>,
    digest: Digest,
    /// What the coordinator was told on this link.
    told: Option<Digest>,
    overdue: Arc<Overdue>,
}

/// Whom to talk to.
#[derive(Clone, PartialEq)]
enum Peer {
    Here,
    There(Contact),
}

impl Reporter {
    /// Makes a link to the present coordinator and talks over it until it ends or another one leads.
    async fn run_session(&mut self) {
        let Some(peer) = self.peer() else { return };
        let link = match &peer {
            Peer::Here => {
                let Some(loopback) = self.context.loopback.borrow().clone() else { return };
                local(self.context.me.clone(), loopback)
            }
            Peer::There(contact) => {
                let dialled = tokio::select! {
                    dialled = self.dial(contact) => dialled,
                    () = self.until_peer_changes(&peer) => return,
                };
                match dialled {
                    Ok(link) => link,
                    Err(error) => {
                        self.context.metrics.links_failed.inc();
                        tracing::warn!(coordinator = contact.address, %error, "can't report to the coordinator; trying again");
                        return;
                    }
                }
            }
        };
        if self.talk(link, &peer).await == SessionEnd::LinkEnded && self.peer().as_ref() == Some(&peer) {
            self.context.metrics.links_ended.inc();
        }
        if let Some(target) = self.unsent.link_ended() {
            let target = self.names.get(&target).map(ToString::to_string);
            tracing::warn!(target, "its report ended two links to the coordinator; it is left out until it changes");
        }
        self.context.metrics.reports_skipped.set(as_gauge(self.unsent.left_out()));
    }

    fn peer(&self) -> Option<Peer> {
        let map = self.context.map.borrow();
        let published = &map.as_ref()?.published;
        if published.coordinator == self.context.me {
            return self.context.loopback.borrow().is_some().then_some(Peer::Here);
        }
        published.contact.clone().map(Peer::There)
    }

    /// Until somebody else is to be talked to: one that is dead may not even refuse.
    async fn until_peer_changes(&self, peer: &Peer) {
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

    async fn talk(&mut self, mut link: Link, peer: &Peer) -> SessionEnd {
        let mut shard = self.context.shard.clone();
        shard.mark_unchanged();
        let reports = self.context.reports.clone();
        let mut heartbeats = interval(self.context.round);
        heartbeats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if self.send_all(&link).await.is_err() {
            return SessionEnd::LinkEnded;
        }
        loop {
            let told = tokio::select! {
                update = reports.dequeue() => {
                    self.apply(update);
                    while let Some(more) = reports.try_dequeue() { self.apply(more); }
                    self.send_changes(&link).await
                }
                answer = link.from_coordinator.recv() => match answer {
                    Some(ToWorker::Want { mut targets }) => {
                        targets.retain(|target| !self.held.contains(target));
                        self.send_wanted(&link, &targets).await
                    }
                    Some(ToWorker::Confirm) => self.confirm(&link).await,
                    Some(ToWorker::Taken { sequence }) => {
                        self.unsent.acknowledged(sequence);
                        Ok(())
                    }
                    None => return SessionEnd::LinkEnded,
                },
                _ = heartbeats.tick() => self.send_due_heartbeat(&link).await,
                // What was told by an older map may have been refused: a version in between gave a slot away and back,
                // or this very process claimed a new term before it saw the map of its claim.
                _ = shard.changed() => match self.send_all(&link).await {
                    Ok(()) => self.send_due_heartbeat(&link).await,
                    ended => ended,
                },
                () = self.until_peer_changes(peer) => return SessionEnd::AnotherLeads,
            };
            if told.is_err() {
                return SessionEnd::LinkEnded;
            }
        }
    }

    /// Takes in what tasks say while there is nobody to tell. For ever.
    async fn collect(&mut self) {
        let reports = self.context.reports.clone();
        loop {
            let update = reports.dequeue().await;
            self.apply(update);
        }
    }

    fn apply(&mut self, (key, update): (TargetKey, ReportUpdate)) {
        let is_ours = self.context.shard.borrow().slots.contains(Slot::of(&key));
        match update {
            // A task may speak once more after its slot was lost.
            ReportUpdate::Changed { report, digest, overdue } if is_ours => {
                let told = self.newest.remove(&key).and_then(|former| former.told);
                if told != Some(digest) {
                    self.news.insert(digest.target);
                }
                self.names.insert(digest.target, key.clone());
                self.newest.insert(key, Newest { report, digest, told, overdue });
            }
            _ => self.forget(&key),
        }
    }

    fn forget(&mut self, key: &TargetKey) {
        if let Some(former) = self.newest.remove(key) {
            self.unsent.forget(former.digest.target);
            self.names.remove(&former.digest.target);
            self.news.remove(&former.digest.target);
            self.held.remove(&former.digest.target);
        }
    }

    /// Everything anew that is this worker's by the present map.
    async fn send_all(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let slots = self.context.shard.borrow().slots.clone();
        let lost: Vec<TargetKey> = self.newest.keys().filter(|key| !slots.contains(Slot::of(key))).cloned().collect();
        lost.iter().for_each(|key| self.forget(key));
        self.newest.values_mut().for_each(|newest| newest.told = None);
        self.news = self.names.keys().copied().collect();
        self.held.clear();
        self.send_changes(link).await
    }

    /// What the coordinator hasn't been told: as a digest the first time on this link, in full when it changed.
    async fn send_changes(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let (mut first, mut changed) = (Vec::new(), Vec::new());
        for target in std::mem::take(&mut self.news) {
            let Some(newest) = self.names.get(&target).and_then(|key| self.newest.get_mut(key)) else { continue };
            match newest.told {
                // Its last verdict would pass for what is true now.
                None if newest.overdue.is_past() => {
                    self.held.insert(target);
                    continue;
                }
                None => first.push(newest.digest),
                Some(_) => changed.push(target),
            }
            newest.told = Some(newest.digest);
        }
        self.send_digests(link, &first).await?;
        self.send_wanted(link, &changed).await
    }

    async fn send_digests(&mut self, link: &Link, digests: &[Digest]) -> Result<(), LinkClosed> {
        for digests in digests.chunks(DIGESTS) {
            self.sequence += 1;
            let epoch = self.context.shard.borrow().epoch;
            send(link, FromWorker::Digests { sequence: self.sequence, epoch, digests: digests.to_vec() }).await?;
        }
        Ok(())
    }

    async fn send_wanted(&mut self, link: &Link, targets: &[u64]) -> Result<(), LinkClosed> {
        for target in targets {
            let Some(newest) = self.names.get(target).and_then(|key| self.newest.get(key)) else { continue };
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

    /// Sends the digests of all that this link has carried, and a heartbeat.
    async fn confirm(&mut self, link: &Link) -> Result<(), LinkClosed> {
        let digests: Vec<Digest> = self.told().map(|newest| newest.digest).collect();
        self.send_digests(link, &digests).await?;
        self.send_heartbeat(link, true).await
    }

    async fn send_due_heartbeat(&mut self, link: &Link) -> Result<(), LinkClosed> {
        self.news.append(&mut self.held);
        self.send_changes(link).await?;
        self.send_heartbeat(link, false).await
    }

    async fn send_heartbeat(&self, link: &Link, confirms: bool) -> Result<(), LinkClosed> {
        let late = self.told().filter(|newest| newest.overdue.is_past()).map(|newest| newest.digest.target);
        // A pass over ten thousand costs less than one report does.
        let heartbeat = Heartbeat {
            epoch: self.context.shard.borrow().epoch,
            targets: u32::try_from(self.told().count()).unwrap_or(u32::MAX),
            late: late.collect(),
            set: Some(Digest::of_set(self.told().map(|newest| newest.digest))),
            confirms,
        };
        send(link, FromWorker::Heartbeat(heartbeat)).await
    }

    /// Targets of which the coordinator has the newest on this link.
    fn told(&self) -> impl Iterator<Item = &Newest> {
        self.newest.values().filter(|newest| newest.told == Some(newest.digest))
    }
}

/// Why there is nobody to talk to any more.
#[derive(PartialEq)]
enum SessionEnd {
    AnotherLeads,
    LinkEnded,
}

/// The link is gone.
struct LinkClosed;

async fn send(link: &Link, message: FromWorker) -> Result<(), LinkClosed> {
    link.to_coordinator.send(message).await.map_err(|_| LinkClosed)
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
