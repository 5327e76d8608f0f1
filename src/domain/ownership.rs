//! Decides which reports are accepted.
//!
//! Two replicas may briefly check the same target while a slot moves. Only reports of the present owner are accepted,
//! and only those made since it was given the slot.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::keys::TargetKey;
use crate::domain::replica::{Epoch, Incarnation};
use crate::domain::shard_map::ShardMap;
use crate::domain::slot::Slot;

/// The owner of every slot with its first epoch, and the newest accepted report of every target.
#[derive(Clone, Debug, Default)]
pub struct Ownership {
    owners: BTreeMap<Slot, Owner>,
    newest: BTreeMap<TargetKey, (Incarnation, u64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Owner {
    process: Incarnation,
    /// Epoch of the first learned map that gave it the slot.
    since: Epoch,
}

/// The origin of a report.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// The authenticated sender, never the one that the report claims.
    pub sender: &'a Incarnation,
    /// The reported target.
    pub target: &'a TargetKey,
    /// Epoch of the map that the sender used.
    pub epoch: Epoch,
    /// Increases with every report of the sender.
    pub sequence: u64,
}

/// Why a report is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another process owns the slot, or none does.
    #[error("the sender doesn't own the slot of the target")]
    NotOwner,
    /// The sender used a map from before its present ownership.
    #[error("the report is from before the sender was given the slot")]
    StaleEpoch,
    /// Still acknowledged, so that the sender doesn't resend it.
    #[error("a newer report of the sender came before")]
    Superseded,
}

impl Ownership {
    /// Applies a new map. Call it for every version: if a slot moved away and back in skipped versions, reports from
    /// before would be accepted.
    pub fn learn(&mut self, map: &ShardMap) {
        let mut owners = BTreeMap::new();
        for (name, slots) in map.shards.iter() {
            let Some(process) = map.members.get(name) else { continue };
            for slot in slots.iter() {
                let kept = self.owners.remove(&slot).filter(|owner| owner.process == *process);
                owners.insert(slot, kept.unwrap_or_else(|| Owner { process: process.clone(), since: map.epoch }));
            }
        }
        self.owners = owners;
        let owners = &self.owners;
        self.newest
            .retain(|target, (sender, _)| owners.get(&Slot::of(target)).is_some_and(|owner| owner.process == *sender));
    }

    /// Accepts a report, and records it as the newest of its target.
    ///
    /// # Errors
    /// Returns why the report must be ignored; nothing is recorded then.
    pub fn accept(&mut self, stamp: &Stamp<'_>) -> Result<(), Refusal> {
        let owner = self.owners.get(&Slot::of(stamp.target)).filter(|owner| owner.process == *stamp.sender);
        if stamp.epoch < owner.ok_or(Refusal::NotOwner)?.since {
            return Err(Refusal::StaleEpoch);
        }
        match self.newest.get_mut(stamp.target) {
            Some((_, sequence)) if *sequence >= stamp.sequence => Err(Refusal::Superseded),
            Some((_, sequence)) => {
                *sequence = stamp.sequence;
                Ok(())
            }
            None => {
                self.newest.insert(stamp.target.clone(), (stamp.sender.clone(), stamp.sequence));
                Ok(())
            }
        }
    }

    /// The owner of the slot in the newest learned map.
    pub fn owner(&self, slot: Slot) -> Option<&Incarnation> {
        self.owners.get(&slot).map(|owner| &owner.process)
    }

    /// Epoch of the first learned map that gave the slot to its owner.
    pub fn since(&self, slot: Slot) -> Option<Epoch> {
        self.owners.get(&slot).map(|owner| owner.since)
    }

    /// Forgets a deleted target.
    pub fn forget(&mut self, target: &TargetKey) {
        self.newest.remove(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::replica::{ReplicaName, Term};
    use crate::domain::shards::Shards;

    fn process(name: &str, nonce: &str) -> Incarnation {
        Incarnation::new(name, "uid", nonce)
    }

    /// A map with all slots at `owner` and none at `other`.
    fn map(epoch: i64, owner: &Incarnation, other: &Incarnation) -> ShardMap {
        let row = |process: &Incarnation, slots: &str| (process.name.clone(), slots.parse().unwrap());
        let map = ShardMap {
            term: Term(1),
            epoch: Epoch(epoch),
            members: [owner, other].map(|process| (process.name.clone(), process.clone())).into(),
            shards: Shards::new([row(owner, "000-3ff"), row(other, "")]),
        };
        assert_eq!(map.check(), Ok(()));
        map
    }

    struct World {
        ownership: Ownership,
        target: TargetKey,
    }

    impl World {
        fn new() -> Self {
            Self { ownership: Ownership::default(), target: TargetKey::new("fleet", "c1") }
        }

        fn accept(&mut self, sender: &Incarnation, epoch: i64, sequence: u64) -> Result<(), Refusal> {
            let target = &self.target;
            self.ownership.accept(&Stamp { sender, target, epoch: Epoch(epoch), sequence })
        }
    }

    #[test]
    fn reports_are_accepted_from_the_present_owner_only() {
        let (a, b) = (process("a", "1"), process("b", "1"));
        let mut world = World::new();
        assert_eq!(world.accept(&a, 1, 1), Err(Refusal::NotOwner), "no map yet");
        world.ownership.learn(&map(1, &a, &b));
        assert_eq!(world.accept(&a, 1, 1), Ok(()));
        world.ownership.learn(&map(2, &b, &a));
        assert_eq!(world.accept(&a, 2, 2), Err(Refusal::NotOwner));
        assert_eq!(world.accept(&b, 1, 1), Err(Refusal::StaleEpoch));
        assert_eq!(world.accept(&b, 2, 2), Ok(()));
    }

    #[test]
    fn report_from_an_earlier_ownership_is_refused() {
        let (a, b) = (process("a", "1"), process("b", "1"));
        let mut world = World::new();
        [map(1, &a, &b), map(2, &b, &a), map(3, &a, &b)].iter().for_each(|map| world.ownership.learn(map));
        assert_eq!(world.accept(&a, 1, 9), Err(Refusal::StaleEpoch));
        assert_eq!(world.accept(&a, 3, 10), Ok(()));
    }

    #[test]
    fn map_change_elsewhere_outdates_no_report() {
        let (a, b) = (process("a", "1"), process("b", "1"));
        let mut world = World::new();
        world.ownership.learn(&map(1, &a, &b));
        world.ownership.learn(&map(2, &a, &process("c", "1")));
        assert_eq!(world.accept(&a, 1, 1), Ok(()));
    }

    #[test]
    fn processes_of_the_same_name_are_distinct_senders() {
        let (old, new, b) = (process("a", "1"), process("a", "2"), process("b", "1"));
        let mut world = World::new();
        world.ownership.learn(&map(1, &old, &b));
        assert_eq!(world.accept(&old, 1, 77), Ok(()));
        assert_eq!(world.accept(&new, 1, 1), Err(Refusal::NotOwner));
        world.ownership.learn(&map(2, &new, &b));
        assert_eq!(world.accept(&old, 2, 78), Err(Refusal::NotOwner));
        assert_eq!(world.accept(&new, 2, 1), Ok(()), "its sequence starts over");
    }

    #[test]
    fn older_report_is_superseded() {
        let (a, b) = (process("a", "1"), process("b", "1"));
        let mut world = World::new();
        world.ownership.learn(&map(1, &a, &b));
        assert_eq!(world.accept(&a, 1, 5), Ok(()));
        assert_eq!([4, 5].map(|sequence| world.accept(&a, 1, sequence)), [Err(Refusal::Superseded); 2]);
        assert_eq!(world.accept(&a, 1, 6), Ok(()));
    }

    #[test]
    fn report_of_an_owner_that_is_no_member_is_refused() {
        let (a, b) = (process("a", "1"), process("b", "1"));
        let mut edited = map(1, &a, &b);
        edited.members.remove(&ReplicaName::new("a"));
        let mut world = World::new();
        world.ownership.learn(&edited);
        assert_eq!(world.accept(&a, 1, 1), Err(Refusal::NotOwner));
    }
}
