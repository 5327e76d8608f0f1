//! Detects objects that a watch has lost, by comparison with a list of the same objects.
//!
//! ```text
//! request ──── list as of version V ───── response            the list is compared with the cache
//!    └── events of the watch are recorded ─────────────┴─ GRACE ─ listed again: missing then and still missing is lost
//! ```
//!
//! The list is a consistent read (no `resourceVersion`: the watch cache could be as old as a stalled watch), so the
//! watch must deliver all of it eventually. Versions alone prove nothing: a watch of objects that don't change sees
//! newer versions only in bookmarks. An object equal in both needs no proof. One that differs is missing, unless the
//! watch delivered it in a version after V. Changes in transit arrive within the grace period; and once the second list
//! is answered, everything that the target sent before it on the same connection has been read.

use std::collections::HashMap;

use super::objects::Objects;

/// Objects recorded during one comparison. No cluster changes as many of one kind in one namespace in that time;
/// beyond the limit the comparison is inconclusive.
const MAX_RECORDED: usize = 2_000;

/// The comparison of one list with its watch, from the request for the list on.
#[derive(Default)]
pub(super) struct Comparison {
    /// Versions of the objects that the watch has delivered since, by the hash of their name.
    delivered: HashMap<u64, Option<u128>>,
    /// The first list and its version, if some of it was missing.
    listed: Option<(Objects, Option<u128>)>,
}

impl Comparison {
    /// Records that the watch delivered an object or its deletion.
    pub(super) fn record(&mut self, name: u64, version: Option<&str>) {
        if self.delivered.len() < MAX_RECORDED {
            self.delivered.insert(name, version.and_then(number));
        }
    }

    /// Returns whether `cached` lacks anything of the first list.
    pub(super) fn lacks(&mut self, cached: &Objects, listed: &Objects, version: Option<&str>) -> bool {
        let version = version.and_then(number);
        let lacks = self.is_missing_from(cached, listed, version);
        self.listed = lacks.then(|| (listed.clone(), version));
        lacks
    }

    /// Returns whether `cached` now has all of the first list. `None`: it had all of it, or the list has not arrived.
    pub(super) fn is_settled(&self, cached: &Objects) -> Option<bool> {
        self.listed.as_ref().map(|(listed, version)| !self.is_missing_from(cached, listed, *version))
    }

    fn is_missing_from(&self, cached: &Objects, listed: &Objects, version: Option<u128>) -> bool {
        let is_newer = |delivered: &Option<u128>| match (delivered, version) {
            (Some(delivered), Some(listed)) => *delivered > listed,
            // Versions that are not numbers can't be compared.
            _ => true,
        };
        self.delivered.len() < MAX_RECORDED
            && cached.differing(listed).iter().any(|name| !self.delivered.get(name).is_some_and(is_newer))
    }
}

/// Kubernetes resourceVersions are increasing numbers (KEP-5504).
fn number(version: &str) -> Option<u128> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::snapshot::{ListKind, Workload, WorkloadState};
    use crate::targets::objects::{Object, name_hash};

    fn objects(ready: &[(&str, u32)]) -> Objects {
        let mut objects = Objects::new(ListKind::Deployment);
        for (name, ready) in ready {
            let state = WorkloadState { ready: *ready, ..WorkloadState::default() };
            let workload = Workload { name: (*name).to_owned(), state, ..Workload::default() };
            objects.put(Object::Workload(Arc::new(workload))).unwrap();
        }
        objects
    }

    #[test]
    fn gap_is_an_object_that_differs_and_was_not_delivered() {
        let cached = objects(&[("a", 1), ("b", 1)]);
        for listed in [&[("a", 1), ("b", 0)][..], &[("a", 1)], &[("a", 1), ("b", 1), ("c", 1)]] {
            assert!(Comparison::default().lacks(&cached, &objects(listed), Some("7")), "{listed:?}");
        }
        assert!(!Comparison::default().lacks(&cached, &cached, Some("7")), "whatever the version");
    }

    #[test]
    fn gap_is_none_where_the_watch_was_ahead_of_the_list() {
        let (cached, listed) = (objects(&[("a", 0)]), objects(&[("a", 1)]));
        for (delivered, lacks) in
            [("6", true), ("7", true), ("8", false), ("1000000000000000000000", false), ("x", false)]
        {
            let mut comparison = Comparison::default();
            comparison.record(name_hash("a"), Some(delivered));
            comparison.record(name_hash("b"), Some("9"));
            assert_eq!(comparison.lacks(&cached, &listed, Some("7")), lacks, "{delivered}");
        }
    }

    #[test]
    fn recorded_changes_are_bounded() {
        let mut comparison = Comparison::default();
        (0..30_000).for_each(|name| comparison.record(name, Some("6")));
        assert_eq!(comparison.delivered.len(), MAX_RECORDED);
        assert!(!comparison.lacks(&objects(&[]), &objects(&[("a", 1)]), Some("7")), "inconclusive");
    }

    #[test]
    fn gap_is_none_once_the_watch_has_caught_up() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.is_settled(&objects(&[])), None);
        assert!(comparison.lacks(&objects(&[("a", 1), ("b", 1)]), &objects(&[("a", 0), ("b", 0)]), Some("7")));
        comparison.record(name_hash("a"), Some("6"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 1)])), Some(false), "half of it");
        comparison.record(name_hash("b"), Some("7"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 0)])), Some(true));
        comparison.record(name_hash("b"), Some("9"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 1)])), Some(true), "it has gone on");
    }
}
