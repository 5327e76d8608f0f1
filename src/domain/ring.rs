//! The hash ring, which orders the replicas by preference for each slot.
//!
//! It only proposes; `assignment` applies the load bound. A replica that joins or leaves changes the first choice of
//! the slots next to it on the ring and of no others.

use std::hash::{BuildHasher, Hash, Hasher};

use consistent_hash_ring::{Ring, RingBuilder};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::domain::replica::ReplicaName;
use crate::domain::slot::Slot;

/// Points of each replica on the ring. The crate's default of 10 balances badly.
const VIRTUAL_NODES: usize = 128;

/// A ring over the members. Without members it proposes none.
pub struct HashRing<'a>(Ring<Node<'a>, FixedHash>);

impl<'a> HashRing<'a> {
    pub fn new(members: impl IntoIterator<Item = &'a ReplicaName>) -> Self {
        let nodes = members.into_iter().map(Node);
        Self(RingBuilder::new(FixedHash).vnodes(VIRTUAL_NODES).nodes_iter(nodes).build())
    }

    /// Every member once, most preferred for the slot first.
    ///
    /// Not the crate's `get`, which panics on an empty ring.
    pub fn preferences(&self, slot: Slot) -> impl Iterator<Item = &'a ReplicaName> + '_ {
        self.0.replicas(Point(slot)).map(|node| node.0)
    }

    pub fn first_choice(&self, slot: Slot) -> Option<&'a ReplicaName> {
        self.preferences(slot).next()
    }
}

/// Hashes only the bytes of its name: the standard library does not guarantee how `str` is hashed.
#[derive(Clone, PartialEq, Eq)]
struct Node<'a>(&'a ReplicaName);

impl Hash for Node<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(self.0.as_str().as_bytes());
    }
}

struct Point(Slot);

impl Hash for Point {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(b"slot ");
        state.write_u64(self.0.index() as u64);
    }
}

/// A hash that is the same in every process, on every machine and in every version.
#[derive(Clone, Copy)]
struct FixedHash;

impl BuildHasher for FixedHash {
    type Hasher = Chained;

    fn build_hasher(&self) -> Chained {
        Chained(0)
    }
}

/// Hashes each piece with the hash of the previous ones as seed.
struct Chained(u64);

impl Hasher for Chained {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    fn write_u64(&mut self, number: u64) {
        self.write(&number.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn replicas(count: usize) -> BTreeSet<ReplicaName> {
        (0..count).map(|i| ReplicaName::new(format!("ksit-{i}"))).collect()
    }

    fn first_choices(members: &BTreeSet<ReplicaName>) -> Vec<Option<&ReplicaName>> {
        let ring = HashRing::new(members);
        Slot::all().map(|slot| ring.first_choice(slot)).collect()
    }

    #[test]
    fn empty_ring_proposes_no_member() {
        assert_eq!(first_choices(&replicas(0)), vec![None; Slot::COUNT]);
    }

    /// Versions that disagree would move slots back and forth at every change of coordinator.
    #[test]
    fn ring_is_the_same_in_every_version() {
        let members = replicas(5);
        let ring = HashRing::new(&members);
        let chosen: Vec<String> = Slot::all()
            .step_by(128)
            .map(|slot| ring.preferences(slot).filter_map(ReplicaName::ordinal).map(|n| n.to_string()).collect())
            .collect();
        assert_eq!(chosen, ["43021", "13402", "21034", "41230", "41023", "13042", "30142", "24031"]);
    }

    #[test]
    fn every_member_is_proposed_once() {
        let members = replicas(20);
        let ring = HashRing::new(&members);
        for slot in Slot::all() {
            let order: Vec<&ReplicaName> = ring.preferences(slot).collect();
            assert_eq!(order.len(), 20);
            assert_eq!(order.into_iter().collect::<BTreeSet<_>>(), members.iter().collect());
        }
    }

    #[test]
    fn shares_are_balanced() {
        for count in [2, 3, 5, 10] {
            let members = replicas(count);
            let mut shares: BTreeMap<&ReplicaName, usize> = BTreeMap::new();
            first_choices(&members).into_iter().flatten().for_each(|owner| *shares.entry(owner).or_default() += 1);
            let mean = Slot::COUNT / count;
            assert!(shares.values().all(|share| (mean / 2..mean * 3 / 2).contains(share)), "{count}: {shares:?}");
        }
    }

    #[test]
    fn newcomer_takes_slots_and_no_others_move() {
        let (before, after) = (replicas(7), replicas(8));
        let newcomer = ReplicaName::new("ksit-7");
        for (old, new) in first_choices(&before).into_iter().zip(first_choices(&after)) {
            assert!(new == old || new == Some(&newcomer));
        }
    }
}
