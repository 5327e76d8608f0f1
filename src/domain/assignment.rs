//! Assigns slots to replicas.
//!
//! ```text
//! members, weight of each slot, last map ──> newcomers take the slots that the ring prefers them for
//!                                            orphaned slots are placed
//!                                            members over the cap give slots away ──> new map
//! ```
//!
//! A slot moves if its owner is gone, if a newcomer is its first choice on the ring, or if its owner is over the cap;
//! because of weight alone at most once a minute. All others stay, even if the ring now prefers another owner: staying
//! is free, and a move costs a new connection to every target of the slot.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::plan::Plan;
use crate::domain::replica::ReplicaName;
use crate::domain::ring::HashRing;
use crate::domain::shards::Shards;
use crate::domain::slot::Slot;
use crate::domain::weights::Weights;

/// Minimum interval between changes of the map because of weight alone.
pub(crate) const WEIGHT_PAUSE: Duration = Duration::from_secs(60);

/// The inputs of an assignment.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The replicas that get slots.
    pub members: &'a BTreeSet<ReplicaName>,
    /// Number of targets in each slot.
    pub weights: &'a Weights,
    /// The last map, which may be invalid. Empty if there is none.
    pub last: &'a Shards,
    /// When the map last changed because of weight alone, on the clock of `now`.
    pub moved_for_weight: Option<Duration>,
}

/// The new division of the slots, and why it differs from the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The new map; equal to the last if nothing may move yet.
    pub shards: Shards,
    /// Why it differs.
    pub change: Change,
}

/// Why an assignment differs from the last map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It does not.
    None,
    /// Members came or went, or the last map had a slot with no owner or with two.
    Members,
    /// Weight alone; store the time as `Facts::moved_for_weight`.
    Weight,
    /// A member is over the cap; call again at that time.
    WeightLater(Duration),
}

/// Computes the assignment. Deterministic, and independent of the order of the inputs.
pub fn assign(facts: &Facts<'_>, now: Duration) -> Assignment {
    let last_members = facts.last.members();
    let settled = last_members == *facts.members && facts.last.check().is_ok();
    let due = facts.moved_for_weight.map_or(Duration::ZERO, |moved| moved.saturating_add(WEIGHT_PAUSE));
    let mut plan = Plan::new(facts.members, facts.weights, facts.last);
    if settled && !plan.is_over_cap() {
        return Assignment { shards: facts.last.clone(), change: Change::None };
    }
    let ring = HashRing::new(facts.members);
    if !settled {
        let newcomers: BTreeSet<&ReplicaName> = facts.members.difference(&last_members).collect();
        settle(&mut plan, &ring, &newcomers, facts.weights);
    }
    plan.rebalance(&ring);
    let shards = plan.into_shards();
    debug_assert_eq!(shards.check(), Ok(()));
    let moved = shards != *facts.last;
    match (settled, moved) {
        (_, false) => Assignment { shards, change: Change::None },
        (false, true) => Assignment { shards, change: Change::Members },
        (true, true) if now >= due => Assignment { shards, change: Change::Weight },
        (true, true) => Assignment { shards: facts.last.clone(), change: Change::WeightLater(due) },
    }
}

/// Gives newcomers the slots that the ring prefers them for, up to the cap; then places every orphaned slot. Heaviest
/// first: light slots fit into the remaining room.
fn settle(plan: &mut Plan<'_>, ring: &HashRing<'_>, newcomers: &BTreeSet<&ReplicaName>, weights: &Weights) {
    let order: Vec<Slot> = weights.heaviest_first();
    if newcomers.len() < plan.members() {
        for slot in &order {
            if let Some(newcomer) = ring.first_choice(*slot).filter(|choice| newcomers.contains(choice)) {
                plan.offer(*slot, newcomer);
            }
        }
    }
    order.into_iter().for_each(|slot| plan.place_if_orphaned(slot, ring));
}

#[cfg(test)]
#[path = "assignment_tests.rs"]
mod tests;
