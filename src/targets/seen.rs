//! Objects as they were read, most of which are known already.

use super::pool::Seen;
use super::text::{Labels, Text};
use crate::domain::snapshot::{Service, Workload};

/// A [`Workload`].
#[derive(Hash)]
pub(super) struct SeenWorkload<'a> {
    pub name: Text<'a>,
    pub labels: Labels<'a>,
    pub desired: u32,
    pub ready: u32,
    pub updated: u32,
    pub observed: bool,
    pub stalled: bool,
}

impl Seen for SeenWorkload<'_> {
    type Value = Workload;

    fn is(&self, known: &Workload) -> bool {
        let Workload { name, labels, desired, ready, updated, observed, stalled } = known;
        let counts = (self.desired, self.ready, self.updated) == (*desired, *ready, *updated);
        let flags = (self.observed, self.stalled) == (*observed, *stalled);
        counts && flags && *self.name == **name && self.labels.are(labels)
    }

    fn into_value(self) -> Workload {
        let Self { name, labels, desired, ready, updated, observed, stalled } = self;
        let (name, labels) = (name.into_owned(), labels.into_owned());
        Workload { name, labels, desired, ready, updated, observed, stalled }
    }
}

/// A [`Service`].
#[derive(Hash)]
pub(super) struct SeenService<'a> {
    pub name: Text<'a>,
    pub labels: Labels<'a>,
    pub external: bool,
}

impl Seen for SeenService<'_> {
    type Value = Service;

    fn is(&self, known: &Service) -> bool {
        let Service { name, labels, external } = known;
        self.external == *external && *self.name == **name && self.labels.are(labels)
    }

    fn into_value(self) -> Service {
        Service { name: self.name.into_owned(), labels: self.labels.into_owned(), external: self.external }
    }
}

impl Seen for Text<'_> {
    type Value = String;

    fn is(&self, known: &String) -> bool {
        **self == **known
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
    fn values_are_one_only_if_nothing_of_them_differs() {
        let seen = |change: fn(&mut SeenWorkload)| {
            let mut seen = SeenWorkload {
                name: "a".into(),
                labels: serde_json::from_str(r#"{"app":"a"}"#).unwrap(),
                desired: 1,
                ready: 1,
                updated: 1,
                observed: true,
                stalled: false,
            };
            change(&mut seen);
            seen
        };
        let pool = Pool::default();
        let first = pool.intern(seen(|_| {}));
        let changes: [fn(&mut SeenWorkload); 7] = [
            |seen| seen.name = "b".into(),
            |seen| seen.labels = serde_json::from_str(r#"{"app":"b"}"#).unwrap(),
            |seen| seen.desired = 2,
            |seen| seen.ready = 2,
            |seen| seen.updated = 2,
            |seen| seen.observed = false,
            |seen| seen.stalled = true,
        ];
        for change in changes {
            assert!(!seen(change).is(&first));
            let other = pool.intern(seen(change));
            assert!(other != first && seen(change).is(&other));
        }
        assert!(Arc::ptr_eq(&first, &pool.intern(seen(|_| {}))));
    }
}
