//! An assignment of slots under construction, and its load bound.

use std::collections::BTreeSet;

use crate::domain::replica::ReplicaName;
use crate::domain::ring::HashRing;
use crate::domain::shards::Shards;
use crate::domain::slot::{Slot, SlotSet};
use crate::domain::weights::Weights;

/// Stops a search that doesn't converge. Each move evens out the loads, so no search should get here.
const MAX_MOVES: usize = 8 * Slot::COUNT;

/// Upper bound of a replica's load, in targets: 1.10 times the mean, rounded down so that rounding can't exceed it in a
/// small fleet, but at least the mean rounded up, which leaves room for all. A replica whose heaviest slot alone
/// exceeds the bound may have that slot.
pub fn load_bound(targets: u64, members: usize) -> u64 {
    let members = members.max(1) as u64;
    (targets * 11 / (10 * members)).max(targets.div_ceil(members))
}

/// Slots and load by member. Members are identified by their index in the sorted names.
pub(super) struct Plan<'a> {
    members: Vec<&'a ReplicaName>,
    weights: &'a Weights,
    owners: Vec<Option<usize>>,
    slots: Vec<SlotSet>,
    load: Vec<u64>,
    heaviest: Vec<u64>,
    bound: u64,
}

impl<'a> Plan<'a> {
    /// Starts from the last map, without owners that are no longer members.
    pub(super) fn new(members: &'a BTreeSet<ReplicaName>, weights: &'a Weights, last: &Shards) -> Self {
        let count = members.len();
        let mut plan = Self {
            members: members.iter().collect(),
            weights,
            owners: vec![None; Slot::COUNT],
            slots: vec![SlotSet::default(); count],
            load: vec![0; count],
            heaviest: vec![0; count],
            bound: load_bound(weights.total(), count),
        };
        for (name, slots) in last.iter() {
            let Some(member) = plan.index_of(name) else { continue };
            for slot in slots.iter() {
                // The first of two owners, in a map edited by hand, keeps the slot.
                if plan.owners[slot.index()].is_none() {
                    plan.give(slot, member);
                }
            }
        }
        plan
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_over_cap(&self) -> bool {
        (0..self.members()).any(|member| self.excess(member) > 0)
    }

    /// Moves a slot to a newcomer, if that has room for it.
    pub(super) fn offer(&mut self, slot: Slot, newcomer: &ReplicaName) {
        if let Some(newcomer) = self.index_of(newcomer).filter(|newcomer| self.fits(*newcomer, self.weight(slot))) {
            self.give(slot, newcomer);
        }
    }

    /// Gives an orphaned slot to the first choice with room; if none has room, to the least loaded member.
    pub(super) fn place_if_orphaned(&mut self, slot: Slot, ring: &HashRing<'_>) {
        if self.owners[slot.index()].is_none()
            && let Some(owner) = self.first_with_room(slot, ring).or_else(|| self.least_loaded())
        {
            self.give(slot, owner);
        }
    }

    /// Moves slots away from members over the cap until none is, or no move would help.
    pub(super) fn rebalance(&mut self, ring: &HashRing<'_>) {
        let mut moves = 0;
        loop {
            let before = moves;
            for member in 0..self.members() {
                while self.excess(member) > 0
                    && moves < MAX_MOVES
                    && let Some((slot, to)) = self.best_move(member, ring)
                {
                    self.give(slot, to);
                    moves += 1;
                }
            }
            if moves == before {
                return;
            }
        }
    }

    pub(super) fn into_shards(self) -> Shards {
        Shards::new(self.members.into_iter().cloned().zip(self.slots))
    }

    /// The slot whose move affects the fewest targets, and its new owner: a member with room; if none has room, the
    /// least loaded one, provided that it ends up with less than `member` had.
    fn best_move(&self, member: usize, ring: &HashRing<'_>) -> Option<(Slot, usize)> {
        let candidates = self.movable(member);
        let with_room = candidates.iter().find_map(|slot| Some((*slot, self.first_with_room(*slot, ring)?)));
        with_room.or_else(|| {
            let least = self.least_loaded()?;
            let better = |slot: &&Slot| self.load[least] + self.weight(**slot) < self.load[member];
            candidates.iter().find(better).map(|slot| (*slot, least))
        })
    }

    /// Slots that a member over the cap could give away: first those that suffice alone, lightest first; then the
    /// others, heaviest first.
    fn movable(&self, member: usize) -> Vec<Slot> {
        let mut slots: Vec<Slot> = self.slots[member].iter().filter(|slot| self.weight(*slot) > 0).collect();
        // A slot that alone exceeds the bound stays: the others move away.
        if self.heaviest[member] > self.bound
            && let Some(oversized) = slots.iter().position(|slot| self.weight(*slot) == self.heaviest[member])
        {
            slots.remove(oversized);
        }
        let excess = self.excess(member);
        let (mut enough, mut too_light): (Vec<Slot>, Vec<Slot>) =
            slots.into_iter().partition(|slot| self.weight(*slot) >= excess);
        enough.sort_by_key(|slot| self.weight(*slot));
        too_light.sort_by_key(|slot| std::cmp::Reverse(self.weight(*slot)));
        enough.extend(too_light);
        enough
    }

    fn first_with_room(&self, slot: Slot, ring: &HashRing<'_>) -> Option<usize> {
        let weight = self.weight(slot);
        let has_room = (0..self.members()).any(|member| self.fits(member, weight));
        let mut choices = has_room.then(|| ring.preferences(slot))?.filter_map(|name| self.index_of(name));
        choices.find(|member| self.fits(*member, weight))
    }

    fn fits(&self, member: usize, weight: u64) -> bool {
        self.load[member] + weight <= self.cap(member).max(weight)
    }

    fn cap(&self, member: usize) -> u64 {
        self.bound.max(self.heaviest[member])
    }

    fn excess(&self, member: usize) -> u64 {
        self.load[member].saturating_sub(self.cap(member))
    }

    fn least_loaded(&self) -> Option<usize> {
        (0..self.members()).min_by_key(|member| self.load[*member])
    }

    fn weight(&self, slot: Slot) -> u64 {
        u64::from(self.weights.get(slot))
    }

    fn index_of(&self, name: &ReplicaName) -> Option<usize> {
        self.members.binary_search(&name).ok()
    }

    fn give(&mut self, slot: Slot, to: usize) {
        let weight = self.weight(slot);
        if let Some(from) = self.owners[slot.index()].replace(to) {
            self.slots[from].remove(slot);
            self.load[from] -= weight;
            self.heaviest[from] = self.slots[from].iter().map(|slot| self.weight(slot)).max().unwrap_or(0);
        }
        self.slots[to].insert(slot);
        self.load[to] += weight;
        self.heaviest[to] = self.heaviest[to].max(weight);
    }
}
