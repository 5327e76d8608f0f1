//! Who shall own which slot.
//!
//! ```text
//! members, weight of each slot, last map ──> newcomers take what the ring gives them
//!                                            orphans are placed
//!                                            who is over the cap gives some away ──> new map
//! ```
//!
//! A slot moves if its owner is gone, if a newcomer is its first choice on the ring, or if its owner is over the cap;
//! for weight alone at most once a minute. Everything else stays where it is, also where the ring would now rather
//! have it elsewhere: staying costs nothing, a move costs a new connection to every target of the slot.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::plan::Plan;
use crate::domain::replica::ReplicaName;
use crate::domain::ring::HashRing;
use crate::domain::shards::Shards;
use crate::domain::slot::Slot;
use crate::domain::weights::Weights;

/// Shortest time between two changes of the map for weight alone.
pub const WEIGHT_PAUSE: Duration = Duration::from_secs(60);

/// What an assignment is made from.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub members: &'a BTreeSet<ReplicaName>,
    pub weights: &'a Weights,
    /// As the last map says; it need not be sound. Empty where there is none.
    pub last: &'a Shards,
    /// When the map last changed for weight alone, on the clock of `now`.
    pub moved_for_weight: Option<Duration>,
}

/// The new division of the slots, and why it differs from the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub shards: Shards,
    pub change: Change,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    /// Members came or went, or the last map had a slot with no owner or with two.
    Members,
    /// To be remembered as `Facts::moved_for_weight`.
    Weight,
    /// Somebody is over the cap; ask again at that time.
    WeightLater(Duration),
}

/// The same for the same facts, whatever order they came in.
pub fn assign(facts: &Facts<'_>, now: Duration) -> Assignment {
    let last_members = facts.last.members();
    let settled = last_members == *facts.members && facts.last.check().is_ok();
    let due = facts.moved_for_weight.map_or(Duration::ZERO, |moved| moved.saturating_add(WEIGHT_PAUSE));
    let mut plan = Plan::new(facts.members, facts.weights, facts.last);
    if settled && !plan.is_over_the_cap() {
        return Assignment { shards: facts.last.clone(), change: Change::None };
    }
    let ring = HashRing::new(facts.members);
    if !settled {
        let newcomers: BTreeSet<&ReplicaName> = facts.members.difference(&last_members).collect();
        settle(&mut plan, &ring, &newcomers, facts.weights);
    }
    plan.relieve(&ring);
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

/// Newcomers get what the ring gives them as far as the cap lets them; then every orphan gets a place.
/// The heaviest first: what is light finds room in what they leave.
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
