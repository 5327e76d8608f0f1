//! Keeps the shard map in line with the members: judges their Leases, takes those of dead members, writes the map.
//!
//! ```text
//! Leases, heartbeats, StatefulSet ─> membership ─┐
//! weights of the slots ──────────────────────────┴─> assignment ─> one write of the ShardMap ─> fleet
//! ```
//!
//! One request for the map is under way at a time, and no decision is made meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Now;
use super::effect::{Effect, MapStatus, Metric, Notice, TermEnd};
use super::fleet::Fleet;
use crate::domain::assignment::{Assignment, Change, Facts, assign};
use crate::domain::member::{Holder, MemberLease, MemberState, Observer, Timing};
use crate::domain::membership::{Command, Membership};
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::shard_map::{PublishedMap, ShardMap};
use crate::domain::shards::Shards;
use crate::domain::weights::Weights;

/// Pause after a write of the map that failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

pub(super) struct Members {
    pub(super) effects: Vec<Effect>,
    me: ReplicaName,
    timing: Timing,
    /// The map as it was last written or read.
    published: PublishedMap,
    term_since: Duration,
    /// `None` before the first event: without them nothing can be decided.
    leases: Option<BTreeMap<ReplicaName, MemberLease>>,
    /// Time of the last message of each process; of a replica only the newest process is kept.
    last_heard: BTreeMap<ReplicaName, (Arc<Incarnation>, Duration)>,
    /// `replicas` of the StatefulSet.
    wanted: Option<u32>,
    /// It was read after the last decision.
    is_wanted_fresh: bool,
    weights: Weights,
    members_changed: Option<Duration>,
    moved_for_weight: Option<Duration>,
    /// The last map whose write failed, and whether it was for weight: it may have been written all the same.
    unconfirmed: Option<(ShardMap, bool)>,
    /// The map on the hub was changed by somebody else; it has this epoch. It is to be written again with a higher one.
    drifted: Option<Epoch>,
    is_deleted: bool,
    request: Request,
    /// The next decision is due at this time.
    check_at: Duration,
    status_at: Duration,
}

/// The request for the hub that is under way.
enum Request {
    None,
    StatefulSet,
    /// So many Leases are being taken.
    Leases(usize),
    /// A write of this map.
    Map {
        next: ShardMap,
        is_for_weight: bool,
    },
    MapStatus,
}

impl Members {
    /// `published` is the map by which the term was claimed.
    pub(super) fn new(me: ReplicaName, timing: Timing, published: PublishedMap, now: Duration) -> Self {
        Self {
            effects: vec![Effect::ReadStatefulSet],
            me,
            timing,
            published,
            term_since: now,
            leases: None,
            last_heard: BTreeMap::new(),
            wanted: None,
            is_wanted_fresh: false,
            weights: Weights::default(),
            members_changed: None,
            moved_for_weight: None,
            unconfirmed: None,
            drifted: None,
            is_deleted: false,
            request: Request::StatefulSet,
            check_at: now,
            status_at: now + timing.round,
        }
    }

    pub(super) fn map(&self) -> &ShardMap {
        &self.published.map
    }

    pub(super) fn published(&self) -> &PublishedMap {
        &self.published
    }

    pub(super) fn next_check(&self) -> Duration {
        match self.request {
            Request::None if self.leases.is_some() => self.check_at.min(self.status_at),
            // An event comes.
            _ => Duration::MAX,
        }
    }

    pub(super) fn hear(&mut self, sender: &Arc<Incarnation>, now: Duration) {
        self.last_heard.insert(sender.name.clone(), (sender.clone(), now));
    }

    pub(super) fn on_leases(&mut self, leases: BTreeMap<ReplicaName, MemberLease>) {
        if self.leases.as_ref() != Some(&leases) {
            (self.leases, self.check_at) = (Some(leases), Duration::ZERO);
        }
    }

    pub(super) fn on_lease_taken(&mut self) {
        self.request = match self.request {
            Request::Leases(left) if left > 1 => Request::Leases(left - 1),
            Request::Leases(_) => Request::None,
            _ => return,
        };
    }

    pub(super) fn on_weights(&mut self, weights: Weights) {
        if self.weights != weights {
            (self.weights, self.check_at) = (weights, Duration::ZERO);
        }
    }

    pub(super) fn on_stateful_set(&mut self, replicas: Result<Option<u32>, ()>) {
        self.wanted = replicas.unwrap_or(self.wanted);
        if matches!(self.request, Request::StatefulSet) {
            (self.request, self.is_wanted_fresh, self.check_at) = (Request::None, true, Duration::ZERO);
        }
    }

    /// Takes in the map as it is on the hub now. Returns it if it is one that was written here.
    pub(super) fn on_map(&mut self, map: Option<PublishedMap>, now: Duration) -> Option<ShardMap> {
        let ours = &self.published;
        let Some(read) = map else {
            self.effects.push(Effect::Log(Notice::MapDeleted));
            (self.is_deleted, self.drifted, self.check_at) = (true, Some(ours.map.epoch), Duration::ZERO);
            return None;
        };
        if !read.is_of_same_term(ours) {
            self.effects.push(Effect::StepDown(TermEnd::Superseded(read.coordinator.name)));
            return None;
        }
        self.is_deleted = false;
        if read == *ours {
            return None;
        }
        if let Some((written, is_for_weight)) = self.unconfirmed.take_if(|(map, _)| *map == read.map) {
            return Some(self.adopt(written, is_for_weight, now));
        }
        self.effects.push(Effect::Log(Notice::MapDrifted));
        (self.drifted, self.check_at) = (Some(read.map.epoch.max(ours.map.epoch)), Duration::ZERO);
        None
    }

    /// Returns the map if a write of one was under way.
    pub(super) fn on_map_written(&mut self, now: Duration) -> Option<ShardMap> {
        match std::mem::replace(&mut self.request, Request::None) {
            Request::Map { next, is_for_weight } => Some(self.adopt(next, is_for_weight, now)),
            _ => None,
        }
    }

    /// The map is on the hub.
    fn adopt(&mut self, map: ShardMap, is_for_weight: bool, now: Duration) -> ShardMap {
        if map.members != self.published.map.members {
            self.members_changed = Some(now);
        }
        if is_for_weight {
            self.moved_for_weight = Some(now);
        }
        self.published.map = map.clone();
        (self.drifted, self.unconfirmed, self.is_deleted) = (None, None, false);
        self.check_at = self.check_at.min(now + self.timing.damping);
        map
    }

    pub(super) fn on_map_write_failed(&mut self, now: Duration) {
        if let Request::Map { next, is_for_weight } = std::mem::replace(&mut self.request, Request::None) {
            self.unconfirmed = Some((next, is_for_weight));
        }
        self.check_at = self.check_at.min(now + RETRY_DELAY);
    }

    pub(super) fn on_map_status_written(&mut self) {
        self.request = Request::None;
    }

    /// Decides, if that is due.
    pub(super) fn step(&mut self, fleet: &Fleet, now: Now) {
        if let Some(leases) = self.leases.as_ref().filter(|_| self.is_idle() && now.clock >= self.check_at) {
            // A member that left keeps its slots only while the StatefulSet wants it back.
            let has_left = |name: &ReplicaName| leases.get(name).is_none_or(|lease| lease.holder == Holder::Nobody);
            if self.published.map.members.keys().any(has_left) && !self.is_wanted_fresh {
                self.request = Request::StatefulSet;
                self.effects.push(Effect::ReadStatefulSet);
            } else {
                self.is_wanted_fresh = false;
                let leases = self.heard(leases.clone());
                self.decide(&leases, now);
            }
        }
        if self.is_idle() && now.clock >= self.status_at {
            self.status_at = now.clock + self.timing.round;
            if !self.is_deleted {
                self.request = Request::MapStatus;
                let status = MapStatus { round: self.timing.round, loads: fleet.loads() };
                self.effects.push(Effect::WriteMapStatus(status));
            }
        }
    }

    fn is_idle(&self) -> bool {
        matches!(self.request, Request::None)
    }

    fn decide(&mut self, leases: &BTreeMap<ReplicaName, MemberLease>, now: Now) {
        let decision = self.membership(leases, now).decide(now.clock);
        self.measure(leases, now);
        let mut check = decision.next_check;
        for command in decision.commands {
            match command {
                Command::StepDown => return self.effects.push(Effect::StepDown(TermEnd::CutOff)),
                Command::TakeLease { name, resource_version } => {
                    self.request = match self.request {
                        Request::Leases(taken) => Request::Leases(taken + 1),
                        _ => Request::Leases(1),
                    };
                    self.effects.push(Effect::TakeLease { name, resource_version });
                }
            }
        }
        if let Some(members) = decision.members {
            let assignment = self.assign(members.keys().cloned().collect(), now.clock);
            if let Change::WeightLater(at) = assignment.change {
                check = Some(check.map_or(at, |check| check.min(at)));
            }
            if let Some(next) = self.next_map(members, assignment.shards) {
                let map = PublishedMap { map: next.clone(), ..self.published.clone() };
                self.effects.push(Effect::WriteMap { map, create: self.is_deleted });
                self.request = Request::Map { next, is_for_weight: assignment.change == Change::Weight };
            }
        }
        self.check_at = check.unwrap_or(Duration::MAX);
    }

    /// `None` if the map is as it should be.
    fn next_map(&self, members: BTreeMap<ReplicaName, Incarnation>, shards: Shards) -> Option<ShardMap> {
        let map = &self.published.map;
        match self.drifted {
            Some(epoch) => Some(ShardMap { epoch: epoch.next(), members, shards, term: map.term }),
            None => map.next(map.term, members, shards),
        }
    }

    fn assign(&self, members: BTreeSet<ReplicaName>, now: Duration) -> Assignment {
        let last = &self.published.map.shards;
        assign(&Facts { members: &members, weights: &self.weights, last, moved_for_weight: self.moved_for_weight }, now)
    }

    /// The Leases with the time of the last message of their holders.
    fn heard(&self, mut leases: BTreeMap<ReplicaName, MemberLease>) -> BTreeMap<ReplicaName, MemberLease> {
        for lease in leases.values_mut() {
            if let Holder::Process(process) = &lease.holder {
                let heard = self.last_heard.get(&process.name).filter(|(sender, _)| **sender == *process);
                lease.heard = heard.map(|(_, at)| *at);
            }
        }
        leases
    }

    fn membership<'a>(&'a self, leases: &'a BTreeMap<ReplicaName, MemberLease>, now: Now) -> Membership<'a> {
        let observer = Observer { timing: self.timing, writes_since: now.writes_since, term_since: self.term_since };
        let last = &self.published.map.members;
        Membership { me: &self.me, observer, leases, last, wanted: self.wanted, changed: self.members_changed }
    }

    fn measure(&mut self, leases: &BTreeMap<ReplicaName, MemberLease>, now: Now) {
        let membership = self.membership(leases, now);
        let is_alive = |name: &ReplicaName| {
            leases.get(name).is_some_and(|lease| membership.state(name, lease, now.clock) <= MemberState::Silent)
        };
        let shards = self.published.map.shards.iter().filter(|(name, _)| is_alive(name));
        let owned: u64 = shards.map(|(_, slots)| self.weights.of_slots(slots)).sum();
        let orphaned = self.weights.total().saturating_sub(owned);
        let living = leases.keys().filter(|name| is_alive(name)).count();
        self.effects.push(Effect::Metric(Metric::Members { orphaned, living }));
    }
}
