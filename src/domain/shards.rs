//! The owner of each slot, by replica name.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::domain::replica::ReplicaName;
use crate::domain::slot::{Slot, SlotSet};

/// The slots of every member, including members without slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards(BTreeMap<ReplicaName, SlotSet>);

/// Why an assignment of the slots is invalid.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardsError {
    /// No member has the slot; the first such one.
    #[error("slot {0} has no owner")]
    Orphaned(Slot),
    /// Two members have the slot; the first such one.
    #[error("slot {0} has two owners")]
    OwnedTwice(Slot),
}

impl Shards {
    /// Unchecked; see [`Self::check`].
    pub fn new(shards: impl IntoIterator<Item = (ReplicaName, SlotSet)>) -> Self {
        Self(shards.into_iter().collect())
    }

    /// Checks that every slot has exactly one owner. Without members none has, which is valid too.
    ///
    /// # Errors
    /// Returns the first slot that is wrong.
    pub fn check(&self) -> Result<(), ShardsError> {
        let mut seen = SlotSet::default();
        for slots in self.0.values() {
            if let Some(twice) = slots.iter().find(|slot| seen.contains(*slot)) {
                return Err(ShardsError::OwnedTwice(twice));
            }
            seen.extend(slots.iter());
        }
        match SlotSet::all().difference(&seen).iter().next() {
            Some(orphan) if !self.0.is_empty() => Err(ShardsError::Orphaned(orphan)),
            _ => Ok(()),
        }
    }

    /// The first member that has the slot; `None` if there is none.
    pub fn owner(&self, slot: Slot) -> Option<&ReplicaName> {
        self.0.iter().find(|(_, slots)| slots.contains(slot)).map(|(name, _)| name)
    }

    /// The slots of a replica; empty if it is not a member.
    pub fn of(&self, replica: &ReplicaName) -> SlotSet {
        self.0.get(replica).cloned().unwrap_or_default()
    }

    /// All members, including those without slots.
    pub fn members(&self) -> BTreeSet<ReplicaName> {
        self.0.keys().cloned().collect()
    }

    /// The members by name, with their slots.
    pub fn iter(&self) -> impl Iterator<Item = (&ReplicaName, &SlotSet)> {
        self.0.iter()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(rows: &[(&str, &str)]) -> Shards {
        Shards::new(rows.iter().map(|(name, slots)| (ReplicaName::new(*name), slots.parse().unwrap())))
    }

    #[test]
    fn slot_without_owner_or_with_two_is_detected() {
        let slot = |text: &str| text.parse::<Slot>().unwrap();
        assert_eq!(shards(&[("a", "000-1ff"), ("b", "200-3ff"), ("c", "")]).check(), Ok(()));
        assert_eq!(shards(&[("a", "000-1ff"), ("b", "201-3ff")]).check(), Err(ShardsError::Orphaned(slot("200"))));
        assert_eq!(shards(&[("a", "000-200"), ("b", "200-3ff")]).check(), Err(ShardsError::OwnedTwice(slot("200"))));
        assert_eq!(shards(&[]).check(), Ok(()));
    }

    #[test]
    fn owner_is_found_by_slot() {
        let shards = shards(&[("a", "000-1ff"), ("b", "200-3ff")]);
        assert_eq!(shards.owner("3a0".parse().unwrap()), Some(&ReplicaName::new("b")));
        assert_eq!(shards.of(&ReplicaName::new("stranger")), SlotSet::default());
    }
}
