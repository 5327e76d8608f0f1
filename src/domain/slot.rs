//! Slots: fixed hash buckets of targets, which replicas own.
//!
//! ```text
//! "namespace/name" ── xxh3_64 % 1024 ──> Slot ── SlotSet of a replica
//! ```

use std::fmt;
use std::str::FromStr;

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use crate::domain::keys::TargetKey;

/// One bucket, in `0..1024`. Formatted and parsed as three hex digits: the value of the label `ksit.io/slot`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u16);

impl Slot {
    /// Number of slots. Part of every label and every map: never change it.
    pub const COUNT: usize = 1024;

    /// The slot of a target. Versions of ksit that run side by side must agree on it.
    pub fn of(target: &TargetKey) -> Self {
        let hash = xxh3_64(target.to_string().as_bytes());
        Self((hash % Self::COUNT as u64) as u16)
    }

    /// `None` if there is no such slot.
    pub fn new(number: usize) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number as u16))
    }

    /// In `0..Slot::COUNT`.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// All slots, in ascending order.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + Clone {
        (0..Self::COUNT as u16).map(Self)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03x}", self.0)
    }
}

/// Why a text is not a slot or set of slots.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SlotError {
    /// No three hex digits in lower case, or above 3ff.
    #[error("{0:?} is not a slot: three hex digits from 000 to 3ff")]
    NotASlot(String),
    /// A range such as `01f-000`.
    #[error("{0:?} is not a range of slots: its end is before its start")]
    Backwards(String),
}

impl FromStr for Slot {
    type Err = SlotError;

    /// Accepts only the output of [`Slot`]'s `Display`, so that a slot has one spelling.
    fn from_str(text: &str) -> Result<Self, SlotError> {
        let number = usize::from_str_radix(text, 16).ok();
        let slot = number.and_then(Self::new).filter(|slot| slot.to_string() == text);
        slot.ok_or_else(|| SlotError::NotASlot(text.to_owned()))
    }
}

const WORDS: usize = Slot::COUNT / 64;

/// A set of slots, as a bitmap. Formatted and parsed as ranges in ascending order, such as `000-01f,3a0`; the empty set
/// as an empty string.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SlotSet([u64; WORDS]);

impl SlotSet {
    /// The set of all 1,024 slots.
    pub fn all() -> Self {
        Self([u64::MAX; WORDS])
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0[slot.index() / 64] & bit(slot) != 0
    }

    /// Adds a slot; no change if it is in the set.
    pub fn insert(&mut self, slot: Slot) {
        self.0[slot.index() / 64] |= bit(slot);
    }

    /// Removes a slot; no change if it is not in the set.
    pub fn remove(&mut self, slot: Slot) {
        self.0[slot.index() / 64] &= !bit(slot);
    }

    /// Number of slots, at most [`Slot::COUNT`].
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether it has no slot.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// Whether it has every slot.
    pub fn is_all(&self) -> bool {
        *self == Self::all()
    }

    /// In ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        (0_u16..).step_by(64).zip(self.0).flat_map(|(first, mut word)| {
            std::iter::from_fn(move || {
                let bit = u16::try_from(word.trailing_zeros()).ok().filter(|_| word != 0)?;
                word &= word - 1;
                Some(Slot(first + bit))
            })
        })
    }

    /// The slots in `self` and not in `other`, such as those gained from the last map to a new one.
    pub fn difference(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] & !other.0[word]))
    }
}

fn bit(slot: Slot) -> u64 {
    1 << (slot.index() % 64)
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::default();
        set.extend(slots);
        set
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        slots.into_iter().for_each(|slot| self.insert(slot));
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut slots = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = slots.next() {
            let mut last = first;
            while let Some(next) = slots.next_if(|next| next.0 == last.0 + 1) {
                last = next;
            }
            write!(f, "{comma}{first}")?;
            if last != first {
                write!(f, "-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}

impl FromStr for SlotSet {
    type Err = SlotError;

    /// Accepts ranges in any order, also overlapping ones: a map may have been edited by hand.
    fn from_str(text: &str) -> Result<Self, SlotError> {
        let mut set = Self::default();
        for part in text.split(',').filter(|_| !text.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (Slot, Slot) = (first.parse()?, last.parse()?);
            if last < first {
                return Err(SlotError::Backwards(part.to_owned()));
            }
            set.extend((first.0..=last.0).map(Slot));
        }
        Ok(set)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot_of(namespace: &str, name: &str) -> String {
        Slot::of(&TargetKey::new(namespace, name)).to_string()
    }

    fn set(text: &str) -> SlotSet {
        text.parse().unwrap()
    }

    /// If this fails, every target of every installation moves during the rollout. Don't adapt the test.
    #[test]
    fn slot_of_a_target_is_the_same_in_every_version() {
        let long = "x".repeat(253);
        let targets = [
            ("default", "prod-eu"),
            ("default", "prod-us"),
            ("fleet", "cluster-0001"),
            ("fleet", "cluster-9999"),
            ("a", &long),
        ];
        let slots = targets.map(|(namespace, name)| slot_of(namespace, name));
        assert_eq!(slots, ["237", "3d5", "341", "0ba", "1f9"]);
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2, "the published value of the hash");
    }

    #[test]
    fn slot_has_one_spelling() {
        for slot in Slot::all() {
            assert_eq!(slot.to_string().parse(), Ok(slot));
        }
        for wrong in ["", "0", "00", "0000", "400", "fff", "3FF", "+ff", "-01", " 01", "0x1", "00g"] {
            assert_eq!(wrong.parse::<Slot>(), Err(SlotError::NotASlot(wrong.to_owned())));
        }
        assert_eq!(Slot::new(1024), None);
    }

    #[test]
    fn slot_set_is_formatted_as_ranges() {
        let slots = (0..0x20).chain([0x3a0]).filter_map(Slot::new);
        assert_eq!(slots.collect::<SlotSet>().to_string(), "000-01f,3a0");
        assert_eq!(SlotSet::all().to_string(), "000-3ff");
        assert_eq!(SlotSet::default().to_string(), "");
        assert!(set("000-3ff").is_all());
        assert!(set("").is_empty());
        assert_eq!(set("3a0,010-01f,000-012"), set("000-01f,3a0"));
    }

    #[test]
    fn invalid_slot_set_is_rejected_with_the_invalid_part() {
        assert_eq!("000,3a".parse::<SlotSet>(), Err(SlotError::NotASlot("3a".into())));
        assert_eq!("000,".parse::<SlotSet>(), Err(SlotError::NotASlot(String::new())));
        assert_eq!("000-001-002".parse::<SlotSet>(), Err(SlotError::NotASlot("001-002".into())));
        assert_eq!("002-001".parse::<SlotSet>(), Err(SlotError::Backwards("002-001".into())));
    }

    #[test]
    fn difference_has_the_gained_slots() {
        assert_eq!(set("000-00f").difference(&set("008-01f")), set("000-007"));
    }

    proptest! {
        #[test]
        fn slot_set_round_trips(numbers in prop::collection::btree_set(0..Slot::COUNT, 0..300)) {
            let slots: SlotSet = numbers.iter().copied().filter_map(Slot::new).collect();
            prop_assert_eq!(slots.len(), numbers.len());
            prop_assert_eq!(slots.iter().map(Slot::index).collect::<Vec<_>>(), Vec::from_iter(numbers));
            prop_assert_eq!(slots.to_string().parse::<SlotSet>(), Ok(slots));
        }
    }
}
