//! The cached answers of one target, by query.

use std::collections::BTreeSet;

use super::entry::{Cached, Entry};
use crate::domain::snapshot::{Extent, ObjectRef, Query, Resource};

/// The entries of one target, sorted by query: a few dozen, for which a map would allocate room for hundreds.
#[derive(Default)]
pub(super) struct Entries(Vec<(Query, Entry)>);

impl Entries {
    pub(super) fn get(&self, query: &Query) -> Option<&Entry> {
        self.index(query).ok().map(|index| &self.0[index].1)
    }

    /// The entry of `query`, inserted if absent.
    pub(super) fn at(&mut self, query: &Query) -> &mut Entry {
        let index = self.index(query).unwrap_or_else(|index| {
            self.0.insert(index, (query.clone(), Entry::default()));
            index
        });
        &mut self.0[index].1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(Query, Entry)> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.0.iter_mut().map(|(_, entry)| entry)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Approximate bytes retained by all entries.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, entry)| entry.bytes()).sum()
    }

    /// Clears the entry that retains most.
    pub(super) fn clear_largest(&mut self) {
        if let Some((_, entry)) = self.0.iter_mut().max_by_key(|(_, entry)| entry.bytes()) {
            entry.cached = Cached::Nothing;
        }
    }

    /// Names of the CustomResourceDefinitions that exist and are not in `served`.
    pub(super) fn unserved(&self, served: &BTreeSet<String>) -> BTreeSet<String> {
        let unserved = self.0.iter().filter_map(|(query, entry)| match query {
            Query::Object(ObjectRef { resource: Resource::Crd, name, .. })
                if entry.extent() == Some(Extent::Something) && !served.contains(name) =>
            {
                Some(name.clone())
            }
            _ => None,
        });
        unserved.collect()
    }

    /// Makes [`Query::Served`] due, as a CustomResourceDefinition has come or gone.
    pub(super) fn clear_served(&mut self) {
        if let Ok(index) = self.index(&Query::Served) {
            self.0[index].1.cached = Cached::Nothing;
        }
    }

    /// Keeps and inserts entries for exactly these queries.
    pub(super) fn set_queries(&mut self, queries: &BTreeSet<Query>) {
        self.0.retain(|(query, _)| queries.contains(query));
        for query in queries {
            self.at(query);
        }
        self.0.shrink_to_fit();
    }

    fn index(&self, query: &Query) -> Result<usize, usize> {
        self.0.binary_search_by(|(other, _)| other.cmp(query))
    }
}
