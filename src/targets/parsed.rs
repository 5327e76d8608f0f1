//! Parsed objects that borrow from the response, most of which are interned already.

use super::pool::Internable;
use super::text::{Labels, Text};
use crate::domain::snapshot::{Service, Workload, WorkloadState};

/// A parsed [`Workload`].
#[derive(Hash)]
pub(super) struct ParsedWorkload<'a> {
    pub name: Text<'a>,
    pub labels: Labels<'a>,
    pub state: WorkloadState,
    pub version: Option<Text<'a>>,
    pub pods: Option<String>,
}

impl Internable for ParsedWorkload<'_> {
    type Value = Workload;

    fn equals(&self, kept: &Workload) -> bool {
        let Workload { name, labels, state, version, pods } = kept;
        let same_version = self.version.as_deref() == version.as_deref();
        let same_pods = self.pods.as_deref() == pods.as_deref();
        self.state == *state && same_version && same_pods && *self.name == **name && self.labels.equal(labels)
    }

    fn into_value(self) -> Workload {
        Workload {
            name: self.name.into_owned(),
            labels: self.labels.into_owned(),
            state: self.state,
            version: self.version.map(|version| version.into_owned().into_boxed_str()),
            pods: self.pods.map(String::into_boxed_str),
        }
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
                state: WorkloadState { desired: 1, ready: 1, updated: 1, ..WorkloadState::default() },
                version: None,
                pods: None,
            };
            change(&mut parsed);
            parsed
        };
        let pool = Pool::default();
        let first = pool.intern(parsed(|_| {}));
        let changes: [fn(&mut ParsedWorkload); 6] = [
            |parsed| parsed.name = "b".into(),
            |parsed| parsed.labels = serde_json::from_str(r#"{"app":"b"}"#).unwrap(),
            |parsed| parsed.state.desired = 2,
            |parsed| parsed.state.conditions.stalled = true,
            |parsed| parsed.version = Some("2".into()),
            |parsed| parsed.pods = Some("a=b".to_owned()),
        ];
        for change in changes {
            assert!(!parsed(change).equals(&first));
            let other = pool.intern(parsed(change));
            assert!(other != first && parsed(change).equals(&other));
        }
        assert!(Arc::ptr_eq(&first, &pool.intern(parsed(|_| {}))));
    }
}
