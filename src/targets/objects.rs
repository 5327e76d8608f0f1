//! Stores the objects of one list while they are watched.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::listed::Listed;
use super::managed::{ManagedObject, ManagedSet};
use super::wire::MAX_ITEMS;
use crate::domain::reason::Reason;
use crate::domain::snapshot::{Answer, ListKind, Service, Workload};

/// Upper bound of names, labels and endpoints per target, in bytes: about ten thousand ordinary Deployments.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;

/// Approximate overhead of a label beyond its strings, and of an object beyond its name and labels, in bytes.
const ENTRY: usize = 48;
const OBJECT: usize = 128;

/// Why data from a target can't be used. Messages never quote the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPage {
    Invalid,
    /// A name or a label that Kubernetes does not allow.
    Name,
    /// An ERROR event: the watch has to be restarted.
    Ended,
    TooLarge,
}

impl BadPage {
    /// Why an answer with it can't be used.
    pub(super) fn reason(self) -> Reason {
        match self {
            Self::TooLarge => Reason::AnswerTooLarge,
            Self::Invalid | Self::Name | Self::Ended => Reason::InvalidAnswer,
        }
    }
}

/// The fields of one object that checks read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    Workload(Arc<Workload>),
    Service(Arc<Service>),
    Slice(Slice),
    Managed(ManagedObject),
}

/// An EndpointSlice, or an Endpoints object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// Hash of its name, which is random.
    pub name: u64,
    pub service: Option<Arc<String>>,
    /// Hashes of the ready endpoints: one per Pod, whatever the number of ports and address families.
    pub ready: Box<[u64]>,
}

/// All objects of one list, sorted by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Objects {
    listed: Listed,
    kept: Kept,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Workloads(Vec<Arc<Workload>>),
    Services(Vec<Arc<Service>>),
    Slices(Vec<Slice>),
    Managed(ManagedSet),
}

impl Object {
    pub(super) fn name_hash(&self) -> u64 {
        match self {
            Self::Workload(workload) => name_hash(&workload.name),
            Self::Service(service) => name_hash(&service.name),
            Self::Slice(slice) => slice.name,
            Self::Managed(object) => object.id,
        }
    }
}

impl Objects {
    pub(super) fn new(listed: impl Into<Listed>) -> Self {
        let listed = listed.into();
        let kept = match &listed {
            Listed::Kind(ListKind::Deployment | ListKind::StatefulSet | ListKind::DaemonSet) => {
                Kept::Workloads(Vec::new())
            }
            Listed::Kind(ListKind::Service) => Kept::Services(Vec::new()),
            Listed::Kind(ListKind::EndpointSlice | ListKind::Endpoints) => Kept::Slices(Vec::new()),
            Listed::Managed(_) => Kept::Managed(ManagedSet::default()),
        };
        Self { listed, kept, bytes: 0 }
    }

    pub(super) fn listed(&self) -> &Listed {
        &self.listed
    }

    /// Counts managed objects from now on, without following them. Returns false for other lists.
    pub(super) fn count_only(&mut self) -> bool {
        match &mut self.kept {
            Kept::Managed(set) => set.count_only(),
            _ => return false,
        }
        true
    }

    /// Takes over what time has changed in a list whose content is the same. Returns whether anything changed.
    pub(super) fn adopt(&mut self, other: &Self) -> bool {
        match (&mut self.kept, &other.kept) {
            (Kept::Managed(set), Kept::Managed(listed)) => set.adopt(listed),
            _ => false,
        }
    }

    /// Approximate size in bytes, including interned objects that other targets share.
    pub(super) fn bytes(&self) -> usize {
        match &self.kept {
            Kept::Managed(set) => set.bytes(),
            _ => self.bytes,
        }
    }

    /// Inserts or replaces an object. Returns false if it was already stored unchanged.
    ///
    /// # Errors
    /// If there are more objects or bytes than ksit keeps.
    pub(super) fn put(&mut self, object: Object) -> Result<bool, BadPage> {
        let more = bytes(&object);
        let put = match (&mut self.kept, object) {
            (Kept::Workloads(kept), Object::Workload(new)) => {
                put(kept, new, |stored, new| stored.name.cmp(&new.name)).map(Object::Workload)
            }
            (Kept::Services(kept), Object::Service(new)) => {
                put(kept, new, |stored, new| stored.name.cmp(&new.name)).map(Object::Service)
            }
            (Kept::Slices(kept), Object::Slice(new)) => {
                put(kept, new, |stored, new| stored.name.cmp(&new.name)).map(Object::Slice)
            }
            (Kept::Managed(set), Object::Managed(new)) => return set.put(new),
            _ => return Err(BadPage::Invalid),
        };
        let less = match put {
            Put::Unchanged => return Ok(false),
            Put::Added => 0,
            Put::Replaced(former) => bytes(&former),
        };
        self.bytes = self.bytes.saturating_add(more).saturating_sub(less);
        match self.len() > MAX_ITEMS || self.bytes > MAX_BYTES {
            true => Err(BadPage::TooLarge),
            false => Ok(true),
        }
    }

    /// Returns false if there is no object with that name.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let former = match &mut self.kept {
            Kept::Workloads(kept) => take(kept, |stored| stored.name.as_str().cmp(name)).map(Object::Workload),
            Kept::Services(kept) => take(kept, |stored| stored.name.as_str().cmp(name)).map(Object::Service),
            Kept::Slices(kept) => take(kept, |stored| stored.name.cmp(&name_hash(name))).map(Object::Slice),
            Kept::Managed(set) => return set.remove(name),
        };
        self.bytes = self.bytes.saturating_sub(former.as_ref().map_or(0, bytes));
        former.is_some()
    }

    /// Name hashes of the objects that differ or are present on one side only. Both must be of the same kind.
    pub(super) fn differing(&self, other: &Self) -> Vec<u64> {
        match (&self.kept, &other.kept) {
            (some, others) if some == others => Vec::new(),
            (Kept::Workloads(some), Kept::Workloads(others)) => {
                differing(some, others, |one, other| one.name.cmp(&other.name), |one| name_hash(&one.name))
            }
            (Kept::Services(some), Kept::Services(others)) => {
                differing(some, others, |one, other| one.name.cmp(&other.name), |one| name_hash(&one.name))
            }
            (Kept::Slices(some), Kept::Slices(others)) => {
                differing(some, others, |one, other| one.name.cmp(&other.name), |one| one.name)
            }
            (Kept::Managed(some), Kept::Managed(others)) => some.differing(others),
            _ => Vec::new(),
        }
    }

    pub(super) fn answer(&self) -> Answer {
        match &self.kept {
            Kept::Workloads(kept) => Answer::Workloads(kept.clone()),
            Kept::Services(kept) => Answer::Services(kept.clone()),
            Kept::Slices(kept) => Answer::Endpoints(ready(kept)),
            Kept::Managed(set) => set.answer(),
        }
    }

    /// Frees unused capacity once a list is complete.
    pub(super) fn shrink(&mut self) {
        match &mut self.kept {
            Kept::Workloads(kept) => kept.shrink_to_fit(),
            Kept::Services(kept) => kept.shrink_to_fit(),
            Kept::Slices(kept) => kept.shrink_to_fit(),
            Kept::Managed(set) => set.shrink(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        match &self.kept {
            Kept::Workloads(kept) => kept.len(),
            Kept::Services(kept) => kept.len(),
            Kept::Slices(kept) => kept.len(),
            Kept::Managed(set) => set.len(),
        }
    }
}

/// Identifies a slice, whose random name isn't worth storing, or a changed object.
pub(super) fn name_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

enum Put<T> {
    Unchanged,
    Added,
    /// Has the former object.
    Replaced(T),
}

impl<T> Put<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Put<U> {
        match self {
            Self::Unchanged => Put::Unchanged,
            Self::Added => Put::Added,
            Self::Replaced(former) => Put::Replaced(with(former)),
        }
    }
}

fn put<T: PartialEq>(kept: &mut Vec<T>, new: T, order: impl Fn(&T, &T) -> Ordering) -> Put<T> {
    match kept.binary_search_by(|stored| order(stored, &new)) {
        Ok(index) if kept[index] == new => Put::Unchanged,
        Ok(index) => Put::Replaced(std::mem::replace(&mut kept[index], new)),
        Err(index) => {
            kept.insert(index, new);
            Put::Added
        }
    }
}

fn differing<T: PartialEq>(
    some: &[T],
    others: &[T],
    order: impl Fn(&T, &T) -> Ordering,
    hash: impl Fn(&T) -> u64,
) -> Vec<u64> {
    let place = |sorted: &[T], one: &T| sorted.binary_search_by(|other| order(other, one)).ok();
    let changed = some.iter().filter(|one| place(others, one).is_none_or(|place| others[place] != **one));
    let added = others.iter().filter(|one| place(some, one).is_none());
    changed.chain(added).map(hash).collect()
}

fn take<T>(kept: &mut Vec<T>, order: impl Fn(&T) -> Ordering) -> Option<T> {
    kept.binary_search_by(order).ok().map(|index| kept.remove(index))
}

fn bytes(object: &Object) -> usize {
    let of_labels = |labels: &BTreeMap<String, String>| -> usize {
        labels.iter().map(|(key, value)| ENTRY + key.len() + value.len()).sum()
    };
    OBJECT
        + match object {
            Object::Workload(workload) => workload.name.len() + of_labels(&workload.labels),
            Object::Service(service) => service.name.len() + of_labels(&service.labels),
            Object::Slice(slice) => slice.ready.len() * size_of::<u64>(),
            Object::Managed(_) => 0,
        }
}

fn ready(slices: &[Slice]) -> BTreeMap<String, u32> {
    let mut ready: BTreeMap<&String, BTreeSet<u64>> = BTreeMap::new();
    for slice in slices {
        let Some(service) = &slice.service else { continue };
        ready.entry(service).or_default().extend(&slice.ready);
    }
    let count = |keys: BTreeSet<u64>| u32::try_from(keys.len()).unwrap_or(u32::MAX);
    ready.into_iter().map(|(service, keys)| (service.clone(), count(keys))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::WorkloadState;

    fn slice(name: &str, service: Option<&str>, ready: &[u64]) -> Object {
        let service = service.map(|service| Arc::new(service.to_owned()));
        Object::Slice(Slice { name: name_hash(name), service, ready: ready.into() })
    }

    #[test]
    fn put_replaces_by_name_and_reports_changes() {
        let state = |ready| WorkloadState { ready, ..WorkloadState::default() };
        let workload = |ready| Workload { name: "a".to_owned(), state: state(ready), ..Workload::default() };
        let mut objects = Objects::new(ListKind::Deployment);
        let put = |objects: &mut Objects, ready| objects.put(Object::Workload(Arc::new(workload(ready)))).unwrap();
        assert_eq!((put(&mut objects, 1), put(&mut objects, 1), put(&mut objects, 2)), (true, false, true));
        assert_eq!(objects.answer(), Answer::Workloads(vec![Arc::new(workload(2))]));
        assert_eq!((objects.remove("b"), objects.remove("a"), objects.remove("a")), (false, true, false));
        assert_eq!(objects, Objects::new(ListKind::Deployment));
    }

    #[test]
    fn service_endpoints_are_counted_over_all_slices() {
        let mut objects = Objects::new(ListKind::EndpointSlice);
        for object in [slice("v4", Some("web"), &[1, 2]), slice("v6", Some("web"), &[2, 3]), slice("x", None, &[9])] {
            objects.put(object).unwrap();
        }
        let count = |objects: &Objects| match objects.answer() {
            Answer::Endpoints(ready) => ready.get("web").copied(),
            other => panic!("{other:?}"),
        };
        assert_eq!(count(&objects), Some(3));
        objects.remove("v4");
        assert_eq!(count(&objects), Some(2));
        objects.put(slice("v6", None, &[2, 3])).unwrap();
        assert_eq!(count(&objects), None, "it left the Service");
    }

    #[test]
    fn objects_beyond_the_size_limit_are_rejected() {
        let mut objects = Objects::new(ListKind::EndpointSlice);
        let many: Vec<u64> = (0..((MAX_BYTES - OBJECT) / 8) as u64).collect();
        assert_eq!(objects.put(slice("a", Some("web"), &many)), Ok(true));
        assert_eq!(objects.put(slice("b", Some("web"), &[1])), Err(BadPage::TooLarge));
        objects.remove("b");
        assert_eq!(objects.put(slice("a", Some("web"), &[1])), Ok(true), "removed objects don't count");
        assert_eq!(objects.bytes(), OBJECT + 8);
        assert_eq!(objects.put(Object::Service(Arc::default())), Err(BadPage::Invalid), "another kind");
    }
}
