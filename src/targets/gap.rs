//! Whether a watch has brought what a list of the same objects has.
//!
//! ```text
//! asked ───── listed as of version V ───── answered          the list is compared with what is known
//!    └── what the watch brings is noted ──────────────┴─ GRACE ─ listed again: what was missing then and still is
//! ```
//!
//! The list is a consistent read (no `resourceVersion`: from the watch cache it could be as old as a watch that stands
//! still), so the watch has to bring everything of it sooner or later. Versions alone prove nothing: a watch of objects
//! that do not change hears of newer ones only by bookmarks. An object that both have alike needs no proof. One that
//! differs is missing, unless the watch has brought it in a version after V. Changes that are under way come within the grace;
//! and when the second list is answered, all that the target had sent before it on the same connection was read.

use std::collections::HashMap;

use super::objects::Objects;

/// Objects that are noted during one comparison. No cluster changes as many of one kind in one namespace in that time;
/// beyond it nothing can be said of the watch until the next comparison.
const MOST: usize = 2_000;

/// The comparison of one list with its watch, from when the list is asked for.
#[derive(Default)]
pub(super) struct Comparison {
    /// The objects that the watch has brought since, by the hash of their name, and their versions.
    brought: HashMap<u64, Option<u128>>,
    /// The list, once it has come and something of it was missing.
    listed: Option<(Objects, Option<u128>)>,
}

impl Comparison {
    /// The watch has brought that object, or that it is gone.
    pub(super) fn note(&mut self, name: u64, version: Option<&str>) {
        if self.brought.len() < MOST {
            self.brought.insert(name, version.and_then(number));
        }
    }

    /// The first list has come: whether `known` lacks anything of it.
    pub(super) fn lacks(&mut self, known: &Objects, listed: &Objects, version: Option<&str>) -> bool {
        let version = version.and_then(number);
        let lacks = self.is_missing_from(known, listed, version);
        self.listed = lacks.then(|| (listed.clone(), version));
        lacks
    }

    /// Whether `known` lacks nothing of the first list any more. `None`: it lacked nothing, or has not come yet.
    pub(super) fn is_settled(&self, known: &Objects) -> Option<bool> {
        self.listed.as_ref().map(|(listed, version)| !self.is_missing_from(known, listed, *version))
    }

    fn is_missing_from(&self, known: &Objects, listed: &Objects, version: Option<u128>) -> bool {
        let is_newer = |brought: &Option<u128>| match (brought, version) {
            (Some(brought), Some(listed)) => *brought > listed,
            // Versions that are no numbers can't be compared.
            _ => true,
        };
        self.brought.len() < MOST
            && known.differing(listed).iter().any(|name| !self.brought.get(name).is_some_and(is_newer))
    }
}

/// The resourceVersions of the Kubernetes API are numbers that grow (KEP-5504).
fn number(version: &str) -> Option<u128> {
    version.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::snapshot::{ListKind, Workload};
    use crate::targets::objects::{Object, name_hash};

    fn objects(ready: &[(&str, u32)]) -> Objects {
        let mut objects = Objects::new(ListKind::Deployment);
        for (name, ready) in ready {
            let workload = Workload { name: (*name).to_owned(), ready: *ready, ..Workload::default() };
            objects.put(Object::Workload(Arc::new(workload))).unwrap();
        }
        objects
    }

    #[test]
    fn gap_is_an_object_that_differs_and_was_not_brought() {
        let known = objects(&[("a", 1), ("b", 1)]);
        for listed in [&[("a", 1), ("b", 0)][..], &[("a", 1)], &[("a", 1), ("b", 1), ("c", 1)]] {
            assert!(Comparison::default().lacks(&known, &objects(listed), Some("7")), "{listed:?}");
        }
        assert!(!Comparison::default().lacks(&known, &known, Some("7")), "whatever the version");
    }

    #[test]
    fn gap_is_none_where_the_watch_was_ahead_of_the_list() {
        let (known, listed) = (objects(&[("a", 0)]), objects(&[("a", 1)]));
        for (brought, lacks) in
            [("6", true), ("7", true), ("8", false), ("1000000000000000000000", false), ("x", false)]
        {
            let mut comparison = Comparison::default();
            comparison.note(name_hash("a"), Some(brought));
            comparison.note(name_hash("b"), Some("9"));
            assert_eq!(comparison.lacks(&known, &listed, Some("7")), lacks, "{brought}");
        }
    }

    #[test]
    fn flood_of_changes_is_noted_up_to_a_bound() {
        let mut comparison = Comparison::default();
        (0..30_000).for_each(|name| comparison.note(name, Some("6")));
        assert_eq!(comparison.brought.len(), MOST);
        assert!(!comparison.lacks(&objects(&[]), &objects(&[("a", 1)]), Some("7")), "nothing can be said");
    }

    #[test]
    fn gap_is_none_once_the_watch_has_caught_up() {
        let mut comparison = Comparison::default();
        assert_eq!(comparison.is_settled(&objects(&[])), None);
        assert!(comparison.lacks(&objects(&[("a", 1), ("b", 1)]), &objects(&[("a", 0), ("b", 0)]), Some("7")));
        comparison.note(name_hash("a"), Some("6"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 1)])), Some(false), "half of it");
        comparison.note(name_hash("b"), Some("7"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 0)])), Some(true));
        comparison.note(name_hash("b"), Some("9"));
        assert_eq!(comparison.is_settled(&objects(&[("a", 0), ("b", 1)])), Some(true), "it has gone on");
    }
}
