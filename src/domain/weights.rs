//! The weight of each slot.

use crate::domain::slot::{Slot, SlotSet};

/// Number of targets in each slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weights([u32; Slot::COUNT]);

impl Weights {
    /// Counts the slots of all targets.
    pub fn of(targets: impl IntoIterator<Item = Slot>) -> Self {
        let mut weights = Self::default();
        targets.into_iter().for_each(|slot| weights.0[slot.index()] += 1);
        weights
    }

    /// Number of targets in the slot.
    pub fn get(&self, slot: Slot) -> u32 {
        self.0[slot.index()]
    }

    /// Replaces the number of targets in the slot.
    pub fn set(&mut self, slot: Slot, targets: u32) {
        self.0[slot.index()] = targets;
    }

    /// Number of targets in all slots.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|weight| u64::from(*weight)).sum()
    }

    /// Number of targets in `slots`.
    pub fn of_slots(&self, slots: &SlotSet) -> u64 {
        slots.iter().map(|slot| u64::from(self.get(slot))).sum()
    }

    /// Every slot, heaviest first, then by number.
    pub fn heaviest_first(&self) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Slot::all().collect();
        slots.sort_by_key(|slot| std::cmp::Reverse(self.get(*slot)));
        slots
    }
}

impl Default for Weights {
    fn default() -> Self {
        Self([0; Slot::COUNT])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::keys::TargetKey;

    #[test]
    fn slot_weight_is_its_number_of_targets() {
        let targets: Vec<TargetKey> = (0..5000).map(|i| TargetKey::new("fleet", format!("cluster-{i}"))).collect();
        let weights = Weights::of(targets.iter().map(Slot::of));
        assert_eq!(weights.total(), 5000);
        let slot = Slot::of(&targets[7]);
        let there = targets.iter().filter(|target| Slot::of(target) == slot).count();
        assert_eq!(weights.get(slot) as usize, there);
        assert_eq!(weights.of_slots(&SlotSet::all()), 5000);
        let descending: Vec<u32> = weights.heaviest_first().into_iter().map(|slot| weights.get(slot)).collect();
        assert!(descending.is_sorted_by(|one, next| one >= next));
    }
}
