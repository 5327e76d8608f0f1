//! Parsed objects that borrow from the response, most of which are interned already.

use super::pool::Internable;
use super::text::{Labels, Text};
use crate::domain::snapshot::{Service, Workload};

/// A parsed [`Workload`].
#[derive(Hash)]
pub(super) struct ParsedWorkload<'a> {
    pub name: Text<'a>,
    pub labels: Labels<'a>,
    pub desired: u32,
    pub ready: u32,
    pub updated: u32,
    pub observed: bool,
    pub stalled: bool,
}

impl Internable for ParsedWorkload<'_> {
    type Value = Workload;

    fn equals(&self, kept: &Workload) -> bool {
        let Workload { name, labels, desired, ready, updated, observed, stalled } = kept;
        let counts = (self.desired, self.ready, self.updated) == (*desired, *ready, *updated);
        let flags = (self.observed, self.stalled) == (*observed, *stalled);
        counts && flags && *self.name == **name && self.labels.equal(labels)
    }

    fn into_value(self) -> Workload {
        let Self { name, labels, desired, ready, updated, observed, stalled } = self;
        let (name, labels) = (name.into_owned(), labels.into_owned());
        Workload { name, labels, desired, ready, updated, observed, stalled }
    }
}

/// A parsed [`Service`].
#[derive(Hash)]
pub(super) struct ParsedService<'a> {
    pub name: Text<'a>,
    pub labels: Labels<'a>,
    pub external: bool,
}

impl Internable for ParsedService<'_> {
    type Value = Service;

    fn equals(&self, kept: &Service) -> bool {
        let Service { name, labels, external } = kept;
        self.external == *external && *self.name == **name && self.labels.equal(labels)
    }

    fn into_value(self) -> Service {
        Service { name: self.name.into_owned(), labels: self.labels.into_owned(), external: self.external }
    }
}

impl Internable for Text<'_> {
    type Value = String;

    fn equals(&self, kept: &String) -> bool {
        **self == **kept
    }

    fn into_value(self) -> String {
        self.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::targets::pool::Pool;

    #[test]
    fn workloads_are_shared_only_if_every_field_is_equal() {
        let parsed = |change: fn(&mut ParsedWorkload)| {
            let mut parsed = ParsedWorkload {
                name: "a".into(),
                labels: serde_json::from_str(r#"{"app":"a"}"#).unwrap(),
                desired: 1,
                ready: 1,
                updated: 1,
                observed: true,
                stalled: false,
            };
            change(&mut parsed);
            parsed
        };
        let pool = Pool::default();
        let first = pool.intern(parsed(|_| {}));
        let changes: [fn(&mut ParsedWorkload); 7] = [
            |parsed| parsed.name = "b".into(),
            |parsed| parsed.labels = serde_json::from_str(r#"{"app":"b"}"#).unwrap(),
            |parsed| parsed.desired = 2,
            |parsed| parsed.ready = 2,
            |parsed| parsed.updated = 2,
            |parsed| parsed.observed = false,
            |parsed| parsed.stalled = true,
        ];
        for change in changes {
            assert!(!parsed(change).equals(&first));
            let other = pool.intern(parsed(change));
            assert!(other != first && parsed(change).equals(&other));
        }
        assert!(Arc::ptr_eq(&first, &pool.intern(parsed(|_| {}))));
    }
}
