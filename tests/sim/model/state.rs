//! What there is in the model.

use std::collections::BTreeSet;

use ksit::domain::keys::TargetKey;
use ksit::domain::ownership::{Ownership, Stamp};
use ksit::domain::replica::{Epoch, Incarnation, Term};
use ksit::domain::shard_map::ShardMap;
use ksit::domain::shards::Shards;
use ksit::domain::slot::Slot;

pub(super) const REPLICAS: [u8; 2] = [0, 1];
pub(super) const OBJECTS: [usize; 2] = [0, 1];

/// One process of a replica; after a crash comes the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Process {
    pub(super) replica: u8,
    pub(super) nonce: u8,
}

/// One version of the map. There is one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Map {
    pub(super) term: i64,
    pub(super) epoch: i64,
    pub(super) claimant: Process,
    pub(super) owner: Process,
}

/// The status of a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Object {
    pub(super) version: u8,
    pub(super) term: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Message {
    /// Instead of the version of that epoch.
    Map { sender: Process, over: i64, map: Map },
    /// Made by the map of that epoch.
    Report { sender: Process, object: usize, epoch: i64 },
    /// Instead of that version. `accepted`: epoch of the newest map that the coordinator knew when it believed the
    /// report.
    Status { term: i64, object: usize, over: u8, reporter: Process, epoch: i64, accepted: i64 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Replica {
    pub(super) nonce: u8,
    /// Epoch of the map that its worker goes by; 0: none yet.
    pub(super) view: i64,
    /// The maps that it wrote in its reign, by epoch, the claim first. It believes to lead while there is one.
    pub(super) reign: Vec<i64>,
}

/// How often each may still happen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) claims: u8,
    pub(super) moves: u8,
    pub(super) reports: u8,
    pub(super) statuses: u8,
    pub(super) crashes: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    /// Every version of the map, oldest first.
    pub(super) maps: Vec<Map>,
    pub(super) objects: [Object; 2],
    pub(super) replicas: [Replica; 2],
    /// Whatever was ever sent.
    pub(super) network: BTreeSet<Message>,
    pub(super) budget: Budget,
    pub(super) fell: bool,
    pub(super) former_term_landed: bool,
    pub(super) landed_in_second_term: bool,
    pub(super) not_of_owner: bool,
    pub(super) refused_by_fence: bool,
}

impl State {
    pub(super) fn newest(&self) -> &Map {
        self.maps.last().unwrap()
    }

    pub(super) fn of_epoch(&self, epoch: i64) -> Option<&Map> {
        self.maps.iter().find(|map| map.epoch == epoch)
    }

    pub(super) fn process(&self, replica: u8) -> Process {
        Process { replica, nonce: self.replicas[usize::from(replica)].nonce }
    }

    /// Whether the coordinator that wrote the maps of `reign` believes a report.
    pub(super) fn believes(&self, reign: &[i64], sender: Process, epoch: i64) -> bool {
        let mut ownership = Ownership::default();
        reign.iter().filter_map(|epoch| self.of_epoch(*epoch)).for_each(|map| ownership.learn(&map.to_domain()));
        let (sender, target) = (sender.to_domain(), target());
        ownership.accept(&Stamp { sender: &sender, target: &target, epoch: Epoch(epoch), sequence: 1 }).is_ok()
    }
}

fn target() -> TargetKey {
    TargetKey::new("fleet", "c1")
}

impl Process {
    pub(super) fn to_domain(self) -> Incarnation {
        Incarnation::new(format!("ksit-{}", self.replica), "uid", self.nonce.to_string())
    }
}

impl Map {
    pub(super) fn to_domain(self) -> ShardMap {
        let other = Process { replica: 1 - self.owner.replica, nonce: 0 };
        let slot = Slot::of(&target()).to_string();
        let members = [(self.owner, slot), (other, String::new())].map(|(process, slot)| (process.to_domain(), slot));
        let shards = members.iter().map(|(process, slot)| (process.name.clone(), slot.parse().unwrap()));
        ShardMap {
            term: Term(self.term),
            epoch: Epoch(self.epoch),
            shards: Shards::new(shards),
            members: members.iter().map(|(process, _)| (process.name.clone(), process.clone())).collect(),
        }
    }
}
