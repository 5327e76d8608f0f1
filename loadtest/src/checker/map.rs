//! Checks every version of the ShardMap and each transition between versions.

use std::collections::BTreeMap;

use serde_json::Value;
use testkit::division::Division;

use super::history::Write;

pub(super) const SLOTS: u16 = 1024;

pub(super) struct Map {
    version: u64,
    at: f64,
    pub(super) term: i64,
    epoch: i64,
    spec: Value,
    division: Division,
}

/// Oldest first.
pub(super) struct MapHistory {
    maps: Vec<Map>,
    /// UID of the Pod that claimed each term.
    claimants: BTreeMap<i64, String>,
}

impl MapHistory {
    /// Appends rule violations to `violations`. Maps written by a person are not checked for owner and cover.
    pub(super) fn read(writes: &[&Write], violations: &mut Vec<String>) -> Self {
        let mut history = Self { maps: Vec::new(), claimants: BTreeMap::new() };
        let mut claimants: BTreeMap<i64, (String, String)> = BTreeMap::new();
        for write in writes.iter().filter(|write| !write.is_status) {
            let spec = write.object["spec"].clone();
            let mut violation = |what: &str| violations.push(format!("map at {}: {what}", write.version));
            let (Some(term), Some(epoch), Some(division)) =
                (spec["term"].as_i64(), spec["epoch"].as_i64(), Division::parse(&spec))
            else {
                violation("cannot be parsed");
                continue;
            };
            let map = Map { version: write.version, at: write.at, term, epoch, spec, division };
            if let Some(uid) = &write.pod {
                let claimant = |field: &str| map.spec["coordinator"][field].as_str().unwrap_or_default().to_owned();
                let process = (claimant("podUid"), claimant("nonce"));
                if process.0 != *uid {
                    violation("written by a Pod other than the coordinator it names");
                }
                if claimants.entry(term).or_insert_with(|| process.clone()) != &process {
                    violation("its term had been claimed by another process");
                }
                history.claimants.entry(term).or_insert(process.0);
                if !map.covers() {
                    violation("not every slot has exactly one owner");
                }
            }
            if let Some(former) = history.maps.last() {
                if map.term < former.term {
                    violation("its term decreased");
                }
                if map.spec != former.spec && map.epoch <= former.epoch {
                    violation("it changed without a higher epoch");
                }
            }
            history.maps.push(map);
        }
        history
    }

    pub(super) fn len(&self) -> usize {
        self.maps.len()
    }

    /// The map in force when the hub was at `version`.
    pub(super) fn at(&self, version: u64) -> Option<&Map> {
        self.maps.iter().rev().find(|map| map.version < version)
    }

    /// The map of `epoch`, if it was written before `version`.
    pub(super) fn epoch(&self, epoch: i64, version: u64) -> Option<&Map> {
        self.maps.iter().rev().find(|map| map.epoch == epoch && map.version < version)
    }

    /// Unix time at which a term was claimed, in seconds.
    pub(super) fn claimed(&self, term: i64) -> Option<f64> {
        self.maps.iter().find(|map| map.term == term).map(|map| map.at)
    }

    pub(super) fn claimant(&self, term: i64) -> Option<&String> {
        self.claimants.get(&term)
    }
}

impl Map {
    pub(super) fn owner(&self, slot: u16) -> Option<&str> {
        self.division.owner(slot)
    }

    /// A map without members covers nothing, and that is valid.
    fn covers(&self) -> bool {
        let mut slots: Vec<u16> = self.division.members.values().flat_map(|(_, slots)| slots).copied().collect();
        slots.sort_unstable();
        slots.is_empty() || slots.into_iter().eq(0..SLOTS)
    }
}
