//! Stores the managed objects of one list: a hash and a state for each, and the names of those that fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::objects::BadPage;
use crate::domain::managed::{Counts, FailingObject, MAX_WORST, State};
use crate::domain::object_names::place;
use crate::domain::snapshot::Answer;

/// Upper bound of objects that are followed one by one. A longer list is only counted.
const MAX_FOLLOWED: usize = 20_000;

/// Upper bound of objects that are counted.
const MAX_COUNTED: u32 = 1_000_000;

/// Upper bound of failing objects whose names are kept.
const MAX_NAMED: usize = 100;

/// Approximate bytes of a failing object beyond its strings.
const NAMED: usize = 160;

/// A managed object as it was judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ManagedObject {
    /// Hash of namespace and name.
    pub id: u64,
    /// Hash of the fields that its rules read.
    pub content: u32,
    pub state: State,
    /// For a failing or unknown object.
    pub failing: Option<Box<FailingObject>>,
}

/// Hash of an object's namespace and name.
pub(super) fn id(namespace: &str, name: &str) -> u64 {
    xxh3_64(place(namespace, name).as_bytes())
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    id: u64,
    content: u32,
    state: State,
}

/// All objects of one list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ManagedSet {
    /// Sorted by `id`. Empty if they are only counted.
    kept: Vec<Kept>,
    failing: BTreeMap<u64, FailingObject>,
    counts: Counts,
    is_counted: bool,
}

impl ManagedSet {
    /// Inserts or replaces an object. Returns whether the counts or the names of failing objects changed.
    ///
    /// # Errors
    /// If there are more objects than ksit follows or counts.
    pub(super) fn put(&mut self, object: ManagedObject) -> Result<bool, BadPage> {
        let ManagedObject { id, content, state, failing } = object;
        if self.is_counted {
            self.add(state);
            self.name(id, failing);
            return if self.counts.total > MAX_COUNTED { Err(BadPage::TooLarge) } else { Ok(true) };
        }
        let new = Kept { id, content, state };
        match self.position(id) {
            Ok(index) => {
                let former = std::mem::replace(&mut self.kept[index], new);
                let renamed = self.name(id, failing);
                if former.state == state {
                    return Ok(renamed);
                }
                self.take(former.state);
            }
            Err(_) if self.kept.len() >= MAX_FOLLOWED => return Err(BadPage::TooLarge),
            Err(index) => {
                self.kept.insert(index, new);
                self.name(id, failing);
            }
        }
        self.add(state);
        Ok(true)
    }

    /// Counts the objects from now on, without following them.
    pub(super) fn count_only(&mut self) {
        self.is_counted = true;
        self.kept = Vec::new();
    }

    /// Returns false if there is no such object. `place`: as [`place`].
    pub(super) fn remove(&mut self, place: &str) -> bool {
        let id = xxh3_64(place.as_bytes());
        let Ok(index) = self.position(id) else { return false };
        let former = self.kept.remove(index);
        self.failing.remove(&id);
        self.take(former.state);
        true
    }

    /// Takes over the states of a later list for objects whose content is the same: some rules depend on the time.
    /// Returns whether anything changed.
    pub(super) fn adopt(&mut self, listed: &Self) -> bool {
        let mut changed = false;
        for index in 0..self.kept.len() {
            let Kept { id, content, state } = self.kept[index];
            let Some(other) = listed.find(id) else { continue };
            if other.content == content && other.state != state {
                self.take(state);
                self.add(other.state);
                self.kept[index].state = other.state;
                self.name(id, listed.failing.get(&id).cloned().map(Box::new));
                changed = true;
            }
        }
        changed
    }

    /// Ids of the objects that differ or are on one side only.
    pub(super) fn differing(&self, other: &Self) -> Vec<u64> {
        let changed = self.kept.iter().filter(|kept| other.find(kept.id).is_none_or(|one| one.content != kept.content));
        let added = other.kept.iter().filter(|kept| self.find(kept.id).is_none());
        changed.chain(added).map(|kept| kept.id).collect()
    }

    pub(super) fn answer(&self) -> Answer {
        let mut worst: Vec<FailingObject> = self.failing.values().cloned().collect();
        worst.sort();
        worst.truncate(MAX_WORST);
        let counts = Arc::new(Counts { worst, ..self.counts.clone() });
        if self.is_counted { Answer::Counted(counts) } else { Answer::Managed(counts) }
    }

    pub(super) fn len(&self) -> usize {
        self.counts.total as usize
    }

    pub(super) fn shrink(&mut self) {
        self.kept.shrink_to_fit();
    }

    /// Approximate bytes retained.
    pub(super) fn bytes(&self) -> usize {
        let named = |object: &FailingObject| {
            NAMED + object.namespace.len() + object.name.len() + object.reason.as_ref().map_or(0, String::len)
        };
        self.kept.capacity() * size_of::<Kept>() + self.failing.values().map(named).sum::<usize>()
    }

    fn position(&self, id: u64) -> Result<usize, usize> {
        self.kept.binary_search_by_key(&id, |kept| kept.id)
    }

    fn find(&self, id: u64) -> Option<&Kept> {
        self.position(id).ok().map(|index| &self.kept[index])
    }

    fn add(&mut self, state: State) {
        self.counts.total += 1;
        if let Some(count) = self.counts.of_mut(state) {
            *count += 1;
        }
    }

    fn take(&mut self, state: State) {
        self.counts.total -= 1;
        if let Some(count) = self.counts.of_mut(state) {
            *count -= 1;
        }
    }

    /// Keeps or forgets the name of an object. Returns whether that changed.
    fn name(&mut self, id: u64, failing: Option<Box<FailingObject>>) -> bool {
        match failing {
            None => self.failing.remove(&id).is_some(),
            Some(_) if self.failing.len() >= MAX_NAMED && !self.failing.contains_key(&id) => false,
            Some(failing) => {
                let differs = self.failing.get(&id) != Some(&*failing);
                self.failing.insert(id, *failing);
                differs
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, content: u32, state: State) -> ManagedObject {
        let is_named = matches!(state, State::Failing | State::Unknown);
        let failing = is_named.then(|| {
            let (namespace, name) = ("team".to_owned(), name.to_owned());
            Box::new(FailingObject { namespace, name, reason: None, since: None })
        });
        ManagedObject { id: id("team", name), content, state, failing }
    }

    fn counts(set: &ManagedSet) -> (u32, u32, u32, usize) {
        let (Answer::Managed(counts) | Answer::Counted(counts)) = set.answer() else { panic!() };
        (counts.total, counts.progressing, counts.failing, counts.worst.len())
    }

    #[test]
    fn healthy_object_that_stays_healthy_changes_nothing() {
        let mut set = ManagedSet::default();
        assert_eq!(set.put(object("a", 1, State::Healthy)), Ok(true));
        assert_eq!(set.put(object("a", 2, State::Healthy)), Ok(false));
        assert_eq!(set.put(object("a", 3, State::Failing)), Ok(true));
        assert_eq!(set.put(object("a", 4, State::Failing)), Ok(false));
        assert_eq!(counts(&set), (1, 0, 1, 1));
        assert_eq!(set.put(object("a", 5, State::Progressing)), Ok(true));
        assert_eq!(counts(&set), (1, 1, 0, 0));
        assert!(set.remove("team/a") && !set.remove("team/a"));
        assert_eq!(set, ManagedSet { kept: Vec::new(), ..ManagedSet::default() });
    }

    #[test]
    fn names_of_failing_objects_are_bounded() {
        let mut set = ManagedSet::default();
        for number in 0..500 {
            set.put(object(&format!("a{number:03}"), 1, State::Failing)).unwrap();
        }
        assert_eq!(counts(&set), (500, 0, 500, MAX_WORST));
        assert_eq!(set.failing.len(), MAX_NAMED);
        let healthy = MAX_FOLLOWED * size_of::<Kept>();
        assert!(set.bytes() < healthy, "{}", set.bytes());
        assert!(size_of::<Kept>() <= 16, "{}", size_of::<Kept>());
    }

    #[test]
    fn longer_list_is_only_counted() {
        let mut set = ManagedSet::default();
        for number in 0..MAX_FOLLOWED {
            set.put(object(&number.to_string(), 1, State::Healthy)).unwrap();
        }
        assert_eq!(set.put(object("more", 1, State::Failing)), Err(BadPage::TooLarge));
        set.count_only();
        assert_eq!(set.put(object("more", 1, State::Failing)), Ok(true));
        assert!(matches!(set.answer(), Answer::Counted(_)));
        assert_eq!(counts(&set), (u32::try_from(MAX_FOLLOWED).unwrap() + 1, 0, 1, 1));
        assert!(set.bytes() < 1_000);
    }

    #[test]
    fn state_that_time_changed_is_adopted_from_a_list() {
        let mut set = ManagedSet::default();
        for name in ["a", "b", "c"] {
            set.put(object(name, 1, State::Healthy)).unwrap();
        }
        let mut listed = set.clone();
        assert!(!set.adopt(&listed));
        listed.put(object("a", 1, State::Failing)).unwrap();
        listed.put(object("b", 2, State::Failing)).unwrap();
        assert_eq!(set.differing(&listed), [id("team", "b")]);
        assert!(set.adopt(&listed));
        assert_eq!(counts(&set), (3, 0, 1, 1), "the watch has another content of b");
    }
}
