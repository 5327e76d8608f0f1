//! The shard map: who owns which slot, in which process, since which change, in whose reign.

use std::collections::BTreeMap;

use thiserror::Error;

use crate::domain::replica::{Epoch, Incarnation, ReplicaName, Term};
use crate::domain::shards::{Shards, ShardsError};
use crate::domain::slot::{Slot, SlotSet};

/// One version of the map. Written whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardMap {
    pub term: Term,
    pub epoch: Epoch,
    /// The process that stands for each member.
    pub members: BTreeMap<ReplicaName, Incarnation>,
    pub shards: Shards,
}

/// A map and who published it: the whole of what is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedMap {
    pub map: ShardMap,
    /// The claimant of the term.
    pub coordinator: Incarnation,
    /// Where it takes reports. `None` where it can't be reached from outside of its process.
    pub contact: Option<Contact>,
}

/// Where and how a coordinator is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Host and port.
    pub address: String,
    /// Of the certificate made for the term, as hex.
    pub certificate_sha256: String,
}

/// What is wrong with a map. A map that was edited by hand can have any of it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardMapError {
    #[error(transparent)]
    Shards(#[from] ShardsError),
    #[error("{0} owns slots and is no member")]
    UnknownOwner(ReplicaName),
    #[error("{0} is a member without a row for its slots")]
    NoShard(ReplicaName),
    #[error("{0} is listed under the name of another")]
    WrongName(ReplicaName),
}

impl ShardMap {
    /// The version after this one, or `None` where nothing changed: an epoch is spent on a change and on nothing else.
    pub fn next(&self, term: Term, members: BTreeMap<ReplicaName, Incarnation>, shards: Shards) -> Option<Self> {
        if (self.term, &self.members, &self.shards) == (term, &members, &shards) {
            return None;
        }
        let next = Self { term, epoch: self.epoch.next(), members, shards };
        debug_assert_eq!(next.check(), Ok(()));
        debug_assert!(next.term >= self.term, "a term never falls");
        Some(next)
    }

    /// Every slot has exactly one owner, and every owner is a member.
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

    pub fn owner(&self, slot: Slot) -> Option<&Incarnation> {
        self.members.get(self.shards.owner(slot)?)
    }

    /// The slots of one process. Another process of the same replica has none.
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
    fn an_owner_that_nobody_knows_is_found() {
        assert_eq!(map(&["a", "b"], &[("a", "000-3ff"), ("b", "")]).check(), Ok(()));
        assert_eq!(map(&[], &[]).check(), Ok(()));
        let unknown = ShardMapError::UnknownOwner(ReplicaName::new("b"));
        assert_eq!(map(&["a"], &[("a", "000-1ff"), ("b", "200-3ff")]).check(), Err(unknown));
        let idle = ShardMapError::NoShard(ReplicaName::new("b"));
        assert_eq!(map(&["a", "b"], &[("a", "000-3ff")]).check(), Err(idle));
        assert!(matches!(map(&["a"], &[("a", "000-3fe")]).check(), Err(ShardMapError::Shards(_))));
    }

    #[test]
    fn an_epoch_is_spent_on_a_change_alone() {
        let first = map(&["a"], &[("a", "000-3ff")]);
        assert_eq!(first.next(Term(1), first.members.clone(), first.shards.clone()), None);
        let reign = first.next(Term(2), first.members.clone(), first.shards.clone()).unwrap();
        assert_eq!((reign.term, reign.epoch), (Term(2), Epoch(2)));
    }

    #[test]
    fn slots_belong_to_a_process_not_to_a_name() {
        let map = map(&["a"], &[("a", "000-3ff")]);
        assert!(map.slots_of(&Incarnation::new("a", "uid", "nonce")).is_all());
        assert!(map.slots_of(&Incarnation::new("a", "uid", "another")).is_empty());
        assert_eq!(map.owner("3a0".parse().unwrap()), Some(&Incarnation::new("a", "uid", "nonce")));
    }
}
