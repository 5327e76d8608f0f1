//! The simulated hub: Leases, the map and statuses, with versions, compare-and-swap, rules and a log of what happened.

use std::collections::BTreeMap;

use ksit::domain::replica::{Incarnation, Term};
use ksit::domain::shard_map::ShardMap;

use super::world::Broken;

/// What is stored, with the version that it got.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// Name and holder.
    Lease(String, Lease),
    Map(Stored),
    /// Number of the target.
    Status(usize, Status),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    pub holder: String,
    pub vacated: bool,
    pub version: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    pub map: ShardMap,
    pub claimant: Incarnation,
    pub version: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub term: i64,
    pub verdict: u32,
    pub reported_by: Option<Incarnation>,
    /// Of the map by which the reporter owned the target.
    pub epoch: i64,
    /// Of the newest map that the coordinator knew when it believed the report.
    pub accepted: i64,
    pub version: u64,
}

/// One write, as it would be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Over this version; 0: there must be none. `None`: over whatever there is.
    Lease(String, Lease, Option<u64>),
    Map(ShardMap, Incarnation, u64),
    Status(usize, Status, u64),
}

/// By a version that has changed, a rule of the object, or the fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Up,
    /// Nothing answers.
    Down,
    /// What is known can be read, nothing can be written.
    WithoutEtcd,
}

pub struct Hub {
    pub health: Health,
    pub leases: BTreeMap<String, Lease>,
    pub map: Option<Stored>,
    pub statuses: Vec<Status>,
    /// Everything that was ever stored, oldest first, with the time in ms.
    pub log: Vec<(u64, Object)>,
    version: u64,
    broken: Broken,
}

impl Hub {
    pub fn new(targets: usize, broken: Broken) -> Self {
        let (leases, statuses) = (BTreeMap::new(), vec![Status::default(); targets]);
        Self { health: Health::Up, leases, map: None, statuses, log: Vec::new(), version: 0, broken }
    }

    pub fn apply(&mut self, now: u64, write: Write) -> Result<Object, Refused> {
        let version = self.version + 1;
        let object = match write {
            Write::Lease(name, lease, over) => {
                let stored = self.leases.get(&name).map_or(0, |lease| lease.version);
                if over.is_some_and(|over| over != stored) {
                    return Err(Refused);
                }
                let lease = Lease { version, ..lease };
                self.leases.insert(name.clone(), lease.clone());
                Object::Lease(name, lease)
            }
            Write::Map(map, claimant, over) => {
                let stored = self.map.as_ref();
                if stored.map_or(0, |stored| stored.version) != over {
                    return Err(Refused);
                }
                if let Some(stored) = stored {
                    let same_reign = map.term == stored.map.term && claimant == stored.claimant;
                    if map.epoch <= stored.map.epoch || !(map.term > stored.map.term || same_reign) {
                        return Err(Refused);
                    }
                }
                let stored = Stored { map, claimant, version };
                self.map = Some(stored.clone());
                Object::Map(stored)
            }
            Write::Status(target, status, over) => {
                let term = self.map.as_ref().map_or(Term(0), |stored| stored.map.term);
                let is_fenced = status.term < term.0 || status.term < self.statuses[target].term;
                if self.statuses[target].version != over {
                    return Err(Refused);
                }
                if is_fenced && self.broken != Broken::Fence {
                    return Err(Refused);
                }
                let status = Status { version, ..status };
                self.statuses[target] = status.clone();
                Object::Status(target, status)
            }
        };
        self.version = version;
        self.log.push((now, object.clone()));
        Ok(object)
    }
}
