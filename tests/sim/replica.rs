//! One replica: what it sees, its Leases, its worker. Every decision is the domain's.

use std::collections::BTreeMap;
use std::time::Duration;

use ksit::domain::claim::Claim;
use ksit::domain::election::{Action, ElectionLease, Identity, Leading, Observation, decide};
use ksit::domain::own_writes::OwnWrites;
use ksit::domain::replica::{Epoch, Incarnation, Term};
use ksit::domain::slot::{Slot, SlotSet};

use super::coordinator::Reign;
use super::hub::{Lease, Object, Status, Stored, Write};
use super::world::{COORDINATOR, Net, Outcome, RENEW, Report, TIMING, TTL, target};

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
    pub reign: Option<Reign>,
    joined: bool,
    next_renewal: Duration,
    ask_at: Duration,
    worker: Worker,
}

#[derive(Default)]
struct Worker {
    epoch: Epoch,
    slots: SlotSet,
    /// Verdicts that were sent last.
    told: BTreeMap<usize, u32>,
    next_round: Duration,
    sequence: u64,
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
            reign: None,
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
                    self.statuses[target] = status;
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
            Action::StepDown => (self.leading, self.reign) = (None, None),
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

    /// Looks at its targets and tells the coordinator.
    fn work(&mut self, net: &mut Net<'_>, now: Duration) {
        let Some(stored) = &self.map else { return };
        if self.worker.epoch != stored.map.epoch {
            self.worker.epoch = stored.map.epoch;
            self.worker.slots = stored.map.slots_of(&self.me);
            self.worker.told.clear();
            self.worker.next_round = now;
        }
        let (to, term) = (stored.claimant.clone(), stored.map.term);
        let all = now >= self.worker.next_round;
        let mut verdicts = Vec::new();
        for number in 0..self.statuses.len() {
            let verdict = net.truth[number];
            let owns = self.worker.slots.contains(Slot::of(&target(number)));
            if owns && (all || self.worker.told.get(&number) != Some(&verdict)) {
                verdicts.push((number, verdict));
                self.worker.told.insert(number, verdict);
            }
        }
        if !all && verdicts.is_empty() {
            return;
        }
        if all {
            self.worker.next_round = now + TIMING.round;
        }
        self.worker.sequence += 1;
        let sequence = self.worker.sequence;
        net.report(Report { from: self.me.clone(), to, term, epoch: self.worker.epoch, sequence, verdicts });
    }
}
