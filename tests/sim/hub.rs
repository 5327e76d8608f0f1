//! The simulated hub: Leases, the map and statuses, with versions, compare-and-swap, rules and a log of what happened.

use std::collections::BTreeMap;

use ksit::domain::replica::{Incarnation, Term};
use ksit::domain::shard_map::ShardMap;
use ksit::domain::status::TargetStatus;

use super::world::Broken;

/// What is stored, with the version that it got.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// Name and holder.
    Lease(String, Lease),
    Map(Stored),
    /// Number of the target.
    Status(usize, Box<Status>),
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

/// The status of a target; `status` is `None` before the first write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    pub status: Option<TargetStatus>,
    /// See [`StatusWrite`].
    pub sender: Option<Incarnation>,
    pub known_epoch: i64,
    pub version: u64,
}

impl Status {
    pub fn term(&self) -> i64 {
        self.status.as_ref().and_then(|status| status.term).map_or(0, |term| term.0)
    }
}

/// A status to write, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusWrite {
    pub status: TargetStatus,
    /// The process that sent the report; `None` if the write doesn't follow from one directly.
    pub sender: Option<Incarnation>,
    /// Epoch of the newest map that the coordinator knew when it accepted the report.
    pub known_epoch: i64,
}

/// One write, as it would be sent.
#[derive(Clone, Debug, PartialEq)]
pub enum Write {
    /// Over this version; 0: there must be none. `None`: over whatever there is.
    Lease(String, Lease, Option<u64>),
    Map(ShardMap, Incarnation, u64),
    Status(usize, Box<StatusWrite>, u64),
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
                    let same_term = map.term == stored.map.term && claimant == stored.claimant;
                    if map.epoch <= stored.map.epoch || !(map.term > stored.map.term || same_term) {
                        return Err(Refused);
                    }
                }
                let stored = Stored { map, claimant, version };
                self.map = Some(stored.clone());
                Object::Map(stored)
            }
            Write::Status(target, write, over) => {
                let StatusWrite { status, sender, known_epoch } = *write;
                let term = self.map.as_ref().map_or(Term(0), |stored| stored.map.term);
                let written = status.term.unwrap_or_default();
                let is_fenced = written < term || written.0 < self.statuses[target].term();
                if self.statuses[target].version != over || is_fenced && self.broken != Broken::Fence {
                    return Err(Refused);
                }
                let status = Status { status: Some(status), sender, known_epoch, version };
                self.statuses[target] = status.clone();
                Object::Status(target, Box::new(status))
            }
        };
        self.version = version;
        self.log.push((now, object.clone()));
        Ok(object)
    }
}
