//! The world of one seed: a hub, replicas, a network that errs, and time in steps.

use std::time::Duration;

use ksit::domain::keys::TargetKey;
use ksit::domain::member::Timing;
use ksit::domain::replica::{Incarnation, Term};
use ksit::domain::report::{FromWorker, ToWorker};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::faults::{Fault, Kind, script};
use super::hub::{Health, Hub, Lease, Object, Status, Stored, Write};
use super::replica::Replica;

pub const COORDINATOR: &str = "ksit-coordinator";
pub const TTL: Duration = Duration::from_secs(10);
pub const RENEW: Duration = Duration::from_secs(3);
/// Time-out of a request to the hub.
pub const REQUEST: Duration = Duration::from_secs(3);
pub const TIMING: Timing = Timing {
    lease: TTL,
    renew: RENEW,
    round: Duration::from_secs(10),
    rejoin_grace: Duration::from_secs(10),
    damping: Duration::from_secs(1),
};

const TARGETS: usize = 12;

/// In ms, as all times of the world.
const STEP: u64 = 500;
/// The fleet settles, faults come, faults are over and the fleet heals.
pub const SETTLED: u64 = 30_000;
pub const FAULTS_END: u64 = 140_000;
const END: u64 = 230_000;

/// The rule that is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    Nothing,
    /// The hub takes statuses of any term.
    Fence,
    /// Others count as silent also while nobody can write.
    SilenceInOutage,
    /// The coordinator sees the Leases once a term.
    LeasesUnseen,
    /// A report counts as one of the present owner, whoever sent it and when.
    AnySender,
    /// The StatefulSet wants no replicas, so that none that left is waited for.
    NobodyWanted,
    /// The coordinator takes its own map for one that somebody else changed.
    EchoAsDrift,
    /// Requests of the coordinator don't reach workers.
    RequestsLost,
}

/// A message of a worker on its way to a coordinator.
#[derive(Clone, Debug)]
pub struct ToCoordinator {
    pub from: Incarnation,
    pub to: Incarnation,
    pub term: Term,
    pub message: FromWorker,
}

/// An answer of the coordinator of a term on its way to a worker.
#[derive(Clone, Debug)]
struct Answer {
    link: (Incarnation, Term),
    to: Incarnation,
    message: ToWorker,
}

pub enum Outcome {
    Done(Object),
    Refused,
    /// No answer. It may have been done, or be done later.
    Lost,
}

pub struct Slot {
    pub replica: Option<Replica>,
    /// When a dead one starts again.
    back_at: Option<u64>,
    cut_until: u64,
    uplink_lost_until: u64,
}

pub struct World {
    pub kind: Kind,
    pub hub: Hub,
    pub slots: Vec<Slot>,
    /// What is true of each target.
    pub truth: Vec<u32>,
    pub wanted: u32,
    time: u64,
    broken: Broken,
    random: SmallRng,
    script: Vec<(u64, Fault)>,
    hub_back_at: u64,
    loss: f64,
    /// Writes that wander about.
    late: Vec<(u64, Write)>,
    messages: Vec<(u64, ToCoordinator)>,
    answers: Vec<(u64, Answer)>,
    processes: u64,
}

/// What one replica can reach at this moment.
pub struct Net<'a> {
    pub time: u64,
    pub truth: &'a [u32],
    pub wanted: u32,
    pub broken: Broken,
    hub: &'a mut Hub,
    random: &'a mut SmallRng,
    late: &'a mut Vec<(u64, Write)>,
    messages: &'a mut Vec<(u64, ToCoordinator)>,
    answers: &'a mut Vec<(u64, Answer)>,
    is_cut: bool,
    pub uplink_lost: bool,
    loss: f64,
}

impl World {
    /// Runs a seed to its end.
    pub fn run(seed: u64, broken: Broken) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let count = random.random_range(2..=5);
        let kind = Kind::of(seed);
        let script = script(kind, count, &mut random);
        let slot = || Slot { replica: None, back_at: Some(0), cut_until: 0, uplink_lost_until: 0 };
        let mut world = Self {
            kind,
            hub: Hub::new(TARGETS, broken),
            slots: (0..count).map(|_| slot()).collect(),
            truth: vec![0; TARGETS],
            wanted: u32::try_from(count).unwrap(),
            time: 0,
            broken,
            random,
            script,
            hub_back_at: 0,
            loss: if kind == Kind::Mixed { 0.08 } else { 0.0 },
            late: Vec::new(),
            messages: Vec::new(),
            answers: Vec::new(),
            processes: 0,
        };
        while world.time < END {
            world.step();
        }
        world
    }

    fn step(&mut self) {
        self.time += STEP;
        let due: Vec<Fault> = self.script.extract_if(.., |(at, _)| *at <= self.time).map(|(_, fault)| fault).collect();
        due.into_iter().for_each(|fault| self.inflict(fault));
        if self.time >= self.hub_back_at {
            self.hub.health = Health::Up;
        }
        if self.time == FAULTS_END {
            self.mend();
        }
        self.arrive();
        for ordinal in 0..self.slots.len() {
            if self.slots[ordinal].back_at.is_some_and(|at| at <= self.time) && (ordinal as u32) < self.wanted {
                self.start(ordinal);
            }
            self.step_replica(ordinal);
        }
    }

    fn start(&mut self, ordinal: usize) {
        self.processes += 1;
        // Clocks differ, and one runs up to a hundredth faster than another.
        let clock = (self.random.random_range(0..1_000_000), self.random.random_range(995..=1005));
        let replica = Replica::new(ordinal, self.processes, clock, TARGETS);
        (self.slots[ordinal].replica, self.slots[ordinal].back_at) = (Some(replica), None);
    }

    fn step_replica(&mut self, ordinal: usize) {
        let time = self.time;
        let slot = &mut self.slots[ordinal];
        let Some(replica) = slot.replica.as_mut().filter(|replica| replica.paused_until <= time) else { return };
        let is_due = |(at, message): &mut (u64, ToCoordinator)| *at <= time && message.to == replica.me;
        let inbox: Vec<ToCoordinator> = self.messages.extract_if(.., is_due).map(|(_, message)| message).collect();
        let is_cut = slot.cut_until > self.time;
        // One that wakes may write before it has read.
        let reads_first = self.random.random_bool(0.8);
        let now = replica.now(self.time);
        if reads_first && !is_cut && self.hub.health != Health::Down {
            let lag = self.random.random_range(0..=2) * STEP;
            while let Some((at, object)) = self.hub.log.get(replica.read).filter(|(at, _)| at + lag <= self.time) {
                debug_assert!(*at <= self.time);
                replica.see(object.clone(), now);
                replica.read += 1;
            }
        }
        let mut net = Net {
            time: self.time,
            truth: &self.truth,
            wanted: self.wanted,
            broken: self.broken,
            hub: &mut self.hub,
            random: &mut self.random,
            late: &mut self.late,
            messages: &mut self.messages,
            answers: &mut self.answers,
            is_cut,
            uplink_lost: slot.uplink_lost_until > self.time,
            loss: self.loss,
        };
        for message in inbox {
            replica.hear(&mut net, message, now);
        }
        if replica.step(&mut net).is_err() {
            (slot.replica, slot.back_at) = (None, Some(self.time + self.random.random_range(1..10) * 1000));
        }
    }

    /// What was under way and is due.
    fn arrive(&mut self) {
        let time = self.time;
        let late: Vec<Write> = self.late.extract_if(.., |(at, _)| *at <= time).map(|(_, write)| write).collect();
        for write in late {
            if self.hub.health == Health::Up {
                let _ = self.hub.apply(time, write);
            }
        }
        let due: Vec<Answer> = self.answers.extract_if(.., |(at, _)| *at <= time).map(|(_, answer)| answer).collect();
        for answer in due {
            let replicas = self.slots.iter_mut().filter_map(|slot| slot.replica.as_mut());
            if let Some(to) = replicas.into_iter().find(|replica| replica.me == answer.to) {
                to.on_answer(&answer.link, answer.message);
            }
        }
    }

    fn inflict(&mut self, fault: Fault) {
        let time = self.time;
        match fault {
            Fault::Kill(ordinal, away) => {
                let slot = &mut self.slots[ordinal];
                (slot.replica, slot.back_at) = (None, Some(time + away));
            }
            Fault::Pause(ordinal, long) => {
                if let Some(replica) = &mut self.slots[ordinal].replica {
                    replica.paused_until = time + long;
                }
            }
            Fault::Cut(ordinal, long) => self.slots[ordinal].cut_until = time + long,
            Fault::LoseUplink(ordinal, long) => self.slots[ordinal].uplink_lost_until = time + long,
            Fault::Outage(health, long) => (self.hub.health, self.hub_back_at) = (health, time + long),
            Fault::Leave(ordinal, away) => self.leave(ordinal, away),
            Fault::Scale(wanted) => {
                self.wanted = wanted;
                (wanted as usize..self.slots.len()).for_each(|ordinal| self.leave(ordinal, 0));
            }
            Fault::Change(target, verdict) => self.truth[target % TARGETS] = verdict,
        }
    }

    /// Ends a replica that gives its Leases back.
    fn leave(&mut self, ordinal: usize, away: u64) {
        let slot = &mut self.slots[ordinal];
        slot.back_at = Some(self.time + away);
        let Some(replica) = slot.replica.take() else { return };
        let holder = replica.me.to_string();
        for (name, vacated) in [(COORDINATOR, true), (replica.me.name.as_str(), false)] {
            let held = self.hub.leases.get(name).filter(|lease| lease.holder == holder).map(|lease| lease.version);
            if let Some(version) = held.filter(|_| self.hub.health == Health::Up) {
                let lease = Lease { vacated, ..Lease::default() };
                let _ = self.hub.apply(self.time, Write::Lease(name.to_owned(), lease, Some(version)));
            }
        }
    }

    /// From now on everything works.
    fn mend(&mut self) {
        (self.loss, self.hub_back_at, self.hub.health) = (0.0, 0, Health::Up);
        self.wanted = u32::try_from(self.slots.len()).unwrap();
        let time = self.time;
        for slot in &mut self.slots {
            (slot.cut_until, slot.uplink_lost_until) = (0, 0);
            slot.back_at = slot.back_at.map(|_| time);
            if let Some(replica) = &mut slot.replica {
                replica.paused_until = 0;
            }
        }
    }
}

impl Net<'_> {
    fn reaches_hub(&mut self) -> bool {
        !self.is_cut && !self.random.random_bool(self.loss)
    }

    pub fn write(&mut self, write: Write) -> Outcome {
        if self.is_cut || self.hub.health != Health::Up {
            return Outcome::Lost;
        }
        if self.random.random_bool(self.loss) {
            match self.random.random_range(0..3) {
                0 => {}
                1 => drop(self.hub.apply(self.time, write)),
                _ => self.late.push((self.time + self.random.random_range(1..20_000), write)),
            }
            return Outcome::Lost;
        }
        self.hub.apply(self.time, write).map_or(Outcome::Refused, Outcome::Done)
    }

    pub fn read_lease(&mut self, name: &str) -> Option<Option<Lease>> {
        (self.reaches_hub() && self.hub.health != Health::Down).then(|| self.hub.leases.get(name).cloned())
    }

    pub fn read_all(&mut self) -> Option<(Option<Stored>, Vec<Status>)> {
        (self.reaches_hub() && self.hub.health != Health::Down)
            .then(|| (self.hub.map.clone(), self.hub.statuses.clone()))
    }

    /// False if the link ended: then the message is lost, or late.
    pub fn report(&mut self, message: ToCoordinator) -> bool {
        if self.uplink_lost {
            return false;
        }
        if self.random.random_bool(self.loss) {
            if self.random.random_bool(0.5) {
                self.messages.push((self.time + self.random.random_range(1..20_000), message));
            }
            return false;
        }
        // A link keeps the order.
        self.messages.push((self.time + 1_000, message));
        true
    }

    /// An answer may be lost.
    pub fn answer(&mut self, link: (Incarnation, Term), to: Incarnation, message: ToWorker) {
        if !self.random.random_bool(self.loss) {
            self.answers.push((self.time + 500, Answer { link, to, message }));
        }
    }
}

pub fn target(number: usize) -> TargetKey {
    TargetKey::new("fleet", format!("c{number}"))
}

pub fn number_of(target: &TargetKey) -> usize {
    target.name()[1..].parse().unwrap()
}
