//! Who owns which slot, by name.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use crate::domain::replica::ReplicaName;
use crate::domain::slot::{Slot, SlotSet};

/// The slots of every member, of those without one too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shards(BTreeMap<ReplicaName, SlotSet>);

/// What is wrong with a division of the slots.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShardsError {
    #[error("slot {0} has no owner")]
    Orphaned(Slot),
    #[error("slot {0} has two owners")]
    OwnedTwice(Slot),
}

impl Shards {
    pub fn new(shards: impl IntoIterator<Item = (ReplicaName, SlotSet)>) -> Self {
        Self(shards.into_iter().collect())
    }

    /// Every slot has exactly one owner. Without members there is nobody to own one, and that is well too.
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

    pub fn owner(&self, slot: Slot) -> Option<&ReplicaName> {
        self.0.iter().find(|(_, slots)| slots.contains(slot)).map(|(name, _)| name)
    }

    /// Empty for who is no member.
    pub fn of(&self, replica: &ReplicaName) -> SlotSet {
        self.0.get(replica).cloned().unwrap_or_default()
    }

    pub fn members(&self) -> BTreeSet<ReplicaName> {
        self.0.keys().cloned().collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&ReplicaName, &SlotSet)> {
        self.0.iter()
    }

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
    fn a_slot_without_an_owner_or_with_two_is_found() {
        let slot = |text: &str| text.parse::<Slot>().unwrap();
        assert_eq!(shards(&[("a", "000-1ff"), ("b", "200-3ff"), ("c", "")]).check(), Ok(()));
        assert_eq!(shards(&[("a", "000-1ff"), ("b", "201-3ff")]).check(), Err(ShardsError::Orphaned(slot("200"))));
        assert_eq!(shards(&[("a", "000-200"), ("b", "200-3ff")]).check(), Err(ShardsError::OwnedTwice(slot("200"))));
        assert_eq!(shards(&[]).check(), Ok(()));
    }

    #[test]
    fn an_owner_is_found_by_slot() {
        let shards = shards(&[("a", "000-1ff"), ("b", "200-3ff")]);
        assert_eq!(shards.owner("3a0".parse().unwrap()), Some(&ReplicaName::new("b")));
        assert_eq!(shards.of(&ReplicaName::new("stranger")), SlotSet::default());
    }
}
