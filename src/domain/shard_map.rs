//! The shard map: the owner of each slot and its process, with the epoch and term of the map.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::replica::{Epoch, Incarnation, ReplicaName, Term};
use crate::domain::shards::{Shards, ShardsError};
use crate::domain::slot::{Slot, SlotSet};

/// One version of the map, which is always written as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardMap {
    /// Term of the coordinator that wrote it.
    pub term: Term,
    /// Version of the map, over all terms.
    pub epoch: Epoch,
    /// The process of each member.
    pub members: BTreeMap<ReplicaName, Incarnation>,
    /// The slots of each member, by name.
    pub shards: Shards,
}

/// A map and its publisher, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedMap {
    /// The assignment.
    pub map: ShardMap,
    /// The claimant of the term.
    pub coordinator: Incarnation,
    /// Where it accepts reports. `None` if it can't be reached from outside its process.
    pub contact: Option<Contact>,
}

/// How to reach a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Host and port.
    pub address: String,
    /// Digest of the certificate created for the term, in hex.
    pub certificate_sha256: String,
}

/// Why a map is invalid. A map edited by hand can have any of these errors.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardMapError {
    /// A slot has no owner, or two.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// Slots belong to a replica without a process.
    #[error("{0} owns slots and is no member")]
    UnknownOwner(ReplicaName),
    /// A member is missing in the assignment, where it may be empty.
    #[error("{0} is a member without a row for its slots")]
    NoShard(ReplicaName),
    /// The key of a member is not the name in its process.
    #[error("{0} is listed under the name of another")]
    WrongName(ReplicaName),
}

impl PublishedMap {
    /// Whether both were published by one coordinator in one term.
    pub fn is_of_same_term(&self, other: &Self) -> bool {
        self.coordinator == other.coordinator && self.map.term == other.map.term
    }
}

impl ShardMap {
    /// The next version, or `None` if nothing changed: only a change increments the epoch.
    pub fn next(&self, term: Term, members: BTreeMap<ReplicaName, Incarnation>, shards: Shards) -> Option<Self> {
        if (self.term, &self.members, &self.shards) == (term, &members, &shards) {
            return None;
        }
        let next = Self { term, epoch: self.epoch.next(), members, shards };
        debug_assert_eq!(next.check(), Ok(()));
        debug_assert!(next.term >= self.term, "a term never falls");
        Some(next)
    }

    /// Checks that every slot has exactly one owner, and that every owner is a member.
    ///
    /// # Errors
    /// Returns the first error found.
    pub fn check(&self) -> Result<(), ShardMapError> {
        self.shards.check()?;
        let owners = self.shards.members();
        if let Some(unknown) = owners.iter().find(|name| !self.members.contains_key(*name)) {
            return Err(ShardMapError::UnknownOwner(unknown.clone()));
        }
        if let Some(idle) = self.members.keys().find(|name| !owners.contains(*name)) {
            return Err(ShardMapError::NoShard(idle.clone()));
        }
        match self.members.iter().find(|(name, incarnation)| incarnation.name != **name) {
            Some((name, _)) => Err(ShardMapError::WrongName(name.clone())),
            None => Ok(()),
        }
    }

    /// The process that owns the slot; `None` in a map without members.
    pub fn owner(&self, slot: Slot) -> Option<&Incarnation> {
        self.members.get(self.shards.owner(slot)?)
    }

    /// The slots of one process; none for another process of the same replica.
    pub fn slots_of(&self, process: &Incarnation) -> SlotSet {
        if self.names(process) { self.shards.of(&process.name) } else { SlotSet::default() }
    }

    /// Whether this very process is a member.
    pub fn names(&self, process: &Incarnation) -> bool {
        self.members.get(&process.name) == Some(process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(members: &[&str], shards: &[(&str, &str)]) -> ShardMap {
        let incarnation = |name: &&str| (ReplicaName::new(*name), Incarnation::new(*name, "uid", "nonce"));
        let row = |(name, slots): &(&str, &str)| (ReplicaName::new(*name), slots.parse().unwrap());
        ShardMap {
            term: Term(1),
            epoch: Epoch(1),
            members: members.iter().map(incarnation).collect(),
            shards: Shards::new(shards.iter().map(row)),
        }
    }

    #[test]
    fn owner_that_is_no_member_is_detected() {
        assert_eq!(map(&["a", "b"], &[("a", "000-3ff"), ("b", "")]).check(), Ok(()));
        assert_eq!(map(&[], &[]).check(), Ok(()));
        let unknown = ShardMapError::UnknownOwner(ReplicaName::new("b"));
        assert_eq!(map(&["a"], &[("a", "000-1ff"), ("b", "200-3ff")]).check(), Err(unknown));
        let idle = ShardMapError::NoShard(ReplicaName::new("b"));
        assert_eq!(map(&["a", "b"], &[("a", "000-3ff")]).check(), Err(idle));
        assert!(matches!(map(&["a"], &[("a", "000-3fe")]).check(), Err(ShardMapError::Shards(_))));
    }

    #[test]
    fn epoch_increments_on_a_change_only() {
        let first = map(&["a"], &[("a", "000-3ff")]);
        assert_eq!(first.next(Term(1), first.members.clone(), first.shards.clone()), None);
        let later = first.next(Term(2), first.members.clone(), first.shards.clone()).unwrap();
        assert_eq!((later.term, later.epoch), (Term(2), Epoch(2)));
    }

    #[test]
    fn slots_belong_to_the_process() {
        let map = map(&["a"], &[("a", "000-3ff")]);
        assert!(map.slots_of(&Incarnation::new("a", "uid", "nonce")).is_all());
        assert!(map.slots_of(&Incarnation::new("a", "uid", "another")).is_empty());
        assert_eq!(map.owner("3a0".parse().unwrap()), Some(&Incarnation::new("a", "uid", "nonce")));
    }
}
