//! One replica: its view of the hub, its Leases, its worker. Every decision is the program's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ksit::domain::claim::Claim;
use ksit::domain::election::{Action, ElectionLease, Identity, Leading, Observation, decide};
use ksit::domain::keys::IntegrationKey;
use ksit::domain::outbox::{Outbox, Overdue};
use ksit::domain::own_writes::OwnWrites;
use ksit::domain::reason::Reason;
use ksit::domain::replica::{Epoch, Incarnation, Term};
use ksit::domain::report::{TargetReport, ToWorker};
use ksit::domain::slot::{Slot, SlotSet};
use ksit::domain::status::report_digest;
use ksit::domain::verdict::{Phase, Reach, TargetVerdict, ToolVerdict};

use super::coordinator::Leader;
use super::hub::{Lease, Object, Status, Stored, Write};
use super::world::{COORDINATOR, Net, Outcome, RENEW, TIMING, TTL, ToCoordinator, target};

const MARGIN: Duration = Duration::from_secs(1);
const LONGEST_GAP: Duration = Duration::from_secs(6);
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// A Lease as it was seen, on the observer's own clock.
#[derive(Clone, Debug)]
pub struct Seen {
    pub lease: Lease,
    pub changed: Duration,
    pub held_since: Duration,
}

pub struct Replica {
    pub me: Incarnation,
    identity: Identity,
    /// Its clock: offset, and speed in thousandths.
    pub clock: (u64, u64),
    pub paused_until: u64,
    pub leases: BTreeMap<String, Seen>,
    pub map: Option<Stored>,
    pub statuses: Vec<Status>,
    /// How much of the hub's log it has seen.
    pub read: usize,
    pub own_writes: OwnWrites,
    pub leading: Option<Leading>,
    pub leader: Option<Leader>,
    /// Targets whose status changed since the coordinator last looked.
    pub changed: BTreeSet<usize>,
    joined: bool,
    next_renewal: Duration,
    ask_at: Duration,
    worker: Worker,
}

#[derive(Default)]
struct Worker {
    outbox: Outbox,
    epoch: Epoch,
    slots: SlotSet,
    /// Last verdict on each target, and when it is overdue.
    verdicts: BTreeMap<usize, (u32, Arc<Overdue>)>,
    next_round: Duration,
    /// Coordinator and term at the other end of the link.
    link: Option<(Incarnation, Term)>,
}

/// The end of a process.
pub struct Died;

impl Replica {
    pub fn new(ordinal: usize, process: u64, clock: (u64, u64), targets: usize) -> Self {
        let (name, uid) = (format!("ksit-{ordinal}"), format!("uid{process}"));
        Self {
            me: Incarnation::new(name.as_str(), uid.as_str(), "nonce"),
            identity: Identity::new(&name, &uid, "nonce").unwrap(),
            clock,
            paused_until: 0,
            leases: BTreeMap::new(),
            map: None,
            statuses: vec![Status::default(); targets],
            read: 0,
            own_writes: OwnWrites::default(),
            leading: None,
            leader: None,
            changed: BTreeSet::new(),
            joined: false,
            next_renewal: Duration::ZERO,
            ask_at: Duration::ZERO,
            worker: Worker::default(),
        }
    }

    pub fn now(&self, time: u64) -> Duration {
        Duration::from_millis(self.clock.0 + time * self.clock.1 / 1000)
    }

    pub fn writes_since(&self, now: Duration) -> Option<Duration> {
        self.own_writes.unbroken_since(now, LONGEST_GAP)
    }

    /// One step of everything that it does.
    pub fn step(&mut self, net: &mut Net<'_>) -> Result<(), Died> {
        let now = self.now(net.time);
        self.keep_lease(net, now)?;
        self.elect(net, now);
        self.coordinate(net, now);
        self.work(net, now);
        Ok(())
    }

    /// A version that a watch, or an answer, shows.
    pub fn see(&mut self, object: Object, now: Duration) {
        match object {
            Object::Lease(name, lease) => {
                let known = self.leases.get(&name);
                if known.is_some_and(|known| known.lease.version >= lease.version) {
                    return;
                }
                let same = known.filter(|known| known.lease.holder == lease.holder);
                let held_since = same.map_or(now, |known| known.held_since);
                self.leases.insert(name, Seen { lease, changed: now, held_since });
            }
            Object::Map(stored) => {
                if self.map.as_ref().is_none_or(|known| known.version < stored.version) {
                    self.map = Some(stored);
                }
            }
            Object::Status(target, status) => {
                if self.statuses[target].version < status.version {
                    self.statuses[target] = *status;
                    self.changed.insert(target);
                }
            }
        }
    }

    /// Sends a write; what comes of it is seen, and counts as an answer or not.
    pub fn write(&mut self, net: &mut Net<'_>, now: Duration, write: Write) -> Outcome {
        let outcome = net.write(write);
        if let Outcome::Done(object) = &outcome {
            self.see(object.clone(), now);
        }
        outcome
    }

    fn wrote(&mut self, outcome: &Outcome, now: Duration) {
        match outcome {
            Outcome::Lost => self.own_writes.failed(),
            Outcome::Done(_) | Outcome::Refused => self.own_writes.succeeded(now, LONGEST_GAP),
        }
    }

    fn keep_lease(&mut self, net: &mut Net<'_>, now: Duration) -> Result<(), Died> {
        if now < self.next_renewal {
            return Ok(());
        }
        let name = self.me.name.to_string();
        let known = match self.joined {
            true => self.leases.get(&name).map(|seen| seen.lease.clone()),
            false => match net.read_lease(&name) {
                Some(lease) => lease,
                None => return Ok(()),
            },
        };
        let holder = self.me.to_string();
        if self.joined && known.as_ref().is_some_and(|lease| !lease.holder.is_empty() && lease.holder != holder) {
            return Err(Died);
        }
        let over = Some(known.map_or(0, |lease| lease.version));
        let outcome = self.write(net, now, Write::Lease(name.clone(), Lease { holder, ..Lease::default() }, over));
        self.wrote(&outcome, now);
        match outcome {
            Outcome::Done(_) => (self.joined, self.next_renewal) = (true, now + RENEW),
            Outcome::Refused => {
                if let Some(Some(lease)) = net.read_lease(&name) {
                    self.see(Object::Lease(name, lease), now);
                }
            }
            Outcome::Lost => self.next_renewal = now + AFTER_A_FAILURE,
        }
        Ok(())
    }

    fn elect(&mut self, net: &mut Net<'_>, now: Duration) {
        if now < self.ask_at {
            return;
        }
        let lease = self.leases.get(COORDINATOR).map(|seen| ElectionLease {
            resource_version: seen.lease.version.to_string(),
            holder: Some(seen.lease.holder.clone()),
            complete: true,
            vacated: seen.lease.vacated,
            changed: seen.changed,
        });
        let observation = Observation {
            me: &self.identity,
            lease: lease.as_ref(),
            writes_since: self.writes_since(now),
            leading: self.leading,
            ttl: TTL,
            renew: RENEW,
        };
        match decide(&observation, now) {
            Action::Wait(_) => {}
            Action::StepDown => (self.leading, self.leader) = (None, None),
            Action::Vacate { resource_version } => {
                let lease = Lease { vacated: true, ..Lease::default() };
                let over = resource_version.parse().ok();
                let outcome = self.write(net, now, Write::Lease(COORDINATOR.to_owned(), lease, over));
                self.wrote(&outcome, now);
            }
            Action::AskCrate => self.ask_crate(net, now),
        }
    }

    /// As the crate does: reads, then writes without a version.
    fn ask_crate(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(read) = net.read_lease(COORDINATOR) else { return self.own_writes.failed() };
        let holder = self.me.to_string();
        let over = if read.is_none() { Some(0) } else { None };
        if let Some(lease) = read.filter(|lease| lease.holder != holder && !lease.vacated) {
            return self.see(Object::Lease(COORDINATOR.to_owned(), lease), now);
        }
        let lease = Lease { holder, ..Lease::default() };
        let outcome = self.write(net, now, Write::Lease(COORDINATOR.to_owned(), lease, over));
        self.wrote(&outcome, now);
        match outcome {
            Outcome::Done(_) => {
                let claim = match self.leading {
                    Some(leading) => leading.claim.renewed(now, TTL, MARGIN),
                    None => Claim::new(Term(0), now, TTL, MARGIN),
                };
                self.leading = Some(Leading { claim, asked: now });
            }
            _ => self.ask_at = now + AFTER_A_FAILURE,
        }
    }

    /// Checks its targets and reports to the coordinator.
    fn work(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(stored) = self.map.clone() else { return };
        let worker = &mut self.worker;
        let is_new_map = worker.epoch != stored.map.epoch;
        if is_new_map {
            (worker.epoch, worker.slots) = (stored.map.epoch, stored.map.slots_of(&self.me));
            worker.outbox.set_shard(&worker.slots, worker.epoch);
            worker.next_round = now;
        }
        let is_round = now >= worker.next_round;
        if is_round {
            worker.next_round = now + TIMING.round;
        }
        for number in 0..self.statuses.len() {
            self.check(net.truth[number], number, is_round, now);
        }
        let worker = &mut self.worker;
        let peer = Some((stored.claimant, stored.map.term));
        if worker.link != peer {
            worker.outbox.link_ended(now);
            worker.link = peer.filter(|_| !net.uplink_lost);
            if worker.link.is_none() {
                return;
            }
            worker.outbox.queue_all(now);
        } else if is_new_map {
            worker.outbox.queue_all(now);
        } else {
            worker.outbox.queue_changes(now);
        }
        if is_round {
            worker.outbox.queue_heartbeat(now);
        }
        self.send(net, now);
    }

    /// One check of a target: a new verdict, or the same one that is fresh again.
    fn check(&mut self, verdict: u32, number: usize, is_round: bool, now: Duration) {
        let (key, worker) = (target(number), &mut self.worker);
        if !worker.slots.contains(Slot::of(&key)) {
            worker.verdicts.remove(&number);
            return;
        }
        let known = worker.verdicts.get(&number);
        if known.is_some_and(|(known, _)| *known == verdict) && !is_round {
            return;
        }
        let overdue = known.map(|(_, overdue)| overdue.clone()).unwrap_or_default();
        overdue.set(now, TIMING.round);
        let is_news = known.is_none_or(|(known, _)| *known != verdict);
        worker.verdicts.insert(number, (verdict, overdue.clone()));
        if is_news {
            let phase = if verdict == 0 { Phase::Running } else { Phase::Failed };
            let tool = ToolVerdict::without_observations(phase, Reason::Healthy, phase.as_str());
            let tools = vec![(IntegrationKey::new("fleet", "argocd"), tool)];
            let report = Box::new(TargetReport {
                generation: 1,
                next: TIMING.round,
                ..TargetReport::new(key, Arc::new(TargetVerdict { reach: Reach::Connected, tools }))
            });
            let digest = report_digest(&report, |_| String::new());
            worker.outbox.put(report, digest, overdue);
        }
    }

    fn send(&mut self, net: &mut Net<'_>, now: Duration) {
        let worker = &mut self.worker;
        while let Some((to, term)) = worker.link.clone() {
            let Some(message) = worker.outbox.next_message(now) else { return };
            let is_sent = net.report(ToCoordinator { from: self.me.clone(), to, term, message });
            if !is_sent {
                worker.outbox.link_ended(now);
                worker.link = None;
            }
        }
    }

    /// An answer of the coordinator arrives over the present link.
    pub fn on_answer(&mut self, link: &(Incarnation, Term), answer: ToWorker) {
        if self.worker.link.as_ref() == Some(link) {
            self.worker.outbox.on_answer(answer);
        }
    }
}
