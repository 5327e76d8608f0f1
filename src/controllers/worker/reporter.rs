//! Keeps a link to the coordinator and sends this worker's reports over it. `domain::outbox` decides what to send.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{ReportUpdate, Reports, Shard, since_start};
use crate::domain::backoff::Backoff;
use crate::domain::keys::TargetKey;
use crate::domain::outbox::Outbox;
use crate::domain::replica::Incarnation;
use crate::domain::shard_map::Contact;
use crate::hub::StoredMap;
use crate::observability::{Metrics, as_gauge};
use crate::reports::{ConnectError, Incoming, Link, connect, local, read_token};

/// Pauses after a link failed or ended.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), longest: Duration::from_secs(5), spread: 0.5 };

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
    let mut reporter = Reporter { outbox: Outbox::default(), context };
    let (mut map, mut loopback) = (reporter.context.map.clone(), reporter.context.loopback.clone());
    let mut short_links = 0_u32;
    loop {
        map.mark_unchanged();
        loopback.mark_unchanged();
        let began = Instant::now();
        reporter.run_session().await;
        // A link that lasted ended for a reason of its own: reconnect without back-off.
        short_links = if began.elapsed() > BACKOFF.longest { 0 } else { short_links.saturating_add(1) };
        tokio::select! {
            () = sleep(BACKOFF.delay(short_links, rand::random())) => {}
            _ = map.changed() => short_links = 0,
            _ = loopback.changed() => short_links = 0,
            () = reporter.apply_updates() => {}
        }
    }
}

struct Reporter {
    context: ReporterContext,
    outbox: Outbox,
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
        if let Some(target) = self.outbox.link_ended(since_start()) {
            tracing::warn!(%target, "its report ended two links to the coordinator; it is sent again later, or when it changes");
        }
        self.context.metrics.reports_skipped.set(as_gauge(self.outbox.left_out()));
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
        self.set_shard();
        self.outbox.queue_all(since_start());
        loop {
            while let Some(message) = self.outbox.next_message(since_start()) {
                if link.to_coordinator.send(message).await.is_err() {
                    return SessionEnd::LinkEnded;
                }
            }
            tokio::select! {
                update = reports.dequeue() => {
                    self.apply(update);
                    while let Some(more) = reports.try_dequeue() { self.apply(more); }
                    self.outbox.queue_changes(since_start());
                }
                answer = link.from_coordinator.recv() => match answer {
                    Some(answer) => self.outbox.on_answer(answer),
                    None => return SessionEnd::LinkEnded,
                },
                _ = heartbeats.tick() => self.outbox.queue_heartbeat(since_start()),
                _ = shard.changed() => {
                    self.set_shard();
                    self.outbox.queue_all(since_start());
                    self.outbox.queue_heartbeat(since_start());
                }
                () = self.peer_changed(peer) => return SessionEnd::PeerChanged,
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
        self.set_shard();
        match update {
            ReportUpdate::Changed { report, digest, overdue } => self.outbox.put(report, digest, overdue),
            ReportUpdate::Removed => self.outbox.remove(&key),
        }
    }

    fn set_shard(&mut self) {
        let shard = self.context.shard.borrow();
        self.outbox.set_shard(&shard.slots, shard.epoch);
    }
}

#[derive(PartialEq)]
enum SessionEnd {
    PeerChanged,
    LinkEnded,
}

#[cfg(test)]
#[path = "reporter_tests.rs"]
mod tests;
