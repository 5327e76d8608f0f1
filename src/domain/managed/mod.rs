//! The objects that a tool manages, such as the Applications of Argo CD: how one is judged, and a list of them.
//!
//! ```text
//! IntegrationType.spec.resources ─> ManagedKind ─ one ManagedList a namespace ─> watched on the target
//!                                        │               └─ Rules: the fields to read, and the state of an object
//!                                        └─ failWhen ─> a fault of the tool
//! ```

mod cost;
mod counts;
mod fields;
mod kstatus;
mod rules;
mod sums;
mod value;
mod verdict;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use cost::MAX_ELEMENTS;
pub use counts::{Counts, FailingObject, MAX_WORST, ResourceSummary, hold_counts};
pub use fields::Fields;
pub use kstatus::is_reason;
pub use rules::{Judgement, RuleTexts, Rules, State};
pub use sums::ResourceSum;
pub(in crate::domain) use sums::Sums;
pub use value::Value;
pub(in crate::domain) use verdict::{faults, summaries};

/// Upper bound of the kinds of one type.
pub const MAX_KINDS: usize = 32;

/// Whether this is the name of a kind, such as `Application`.
pub fn is_kind(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// A kind of object that a tool manages, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedKind {
    /// Such as `Application`.
    pub kind: String,
    /// One a namespace, or one for all namespaces.
    pub lists: Vec<Arc<ManagedList>>,
    /// The number of failing objects at which the tool fails.
    pub fail_when: FailWhen,
}

/// All objects of one kind that a tool manages, in one namespace or in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ManagedList {
    /// Such as `Application`.
    pub kind: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Version to ask for, then those of earlier releases. At least one.
    pub versions: Vec<String>,
    /// Such as `applications`.
    pub plural: String,
    /// Empty for all namespaces.
    pub namespace: String,
    /// How an object is judged.
    pub rules: Arc<Rules>,
}

impl ManagedList {
    /// API group, version and plural, as in RBAC rules and URLs.
    pub fn resource(&self) -> (&str, &str, &str) {
        (&self.group, self.versions.first().map_or("", String::as_str), &self.plural)
    }

    /// The same list in the newest version that the cluster serves. `served`: resources as `plural.version.group`.
    pub fn as_served(self: &Arc<Self>, served: &BTreeSet<String>) -> Option<Arc<Self>> {
        let Self { group, plural, .. } = &**self;
        let mut list = self.clone();
        loop {
            let version = list.versions.first()?;
            if served.contains(&format!("{plural}.{version}.{group}")) {
                return Some(list);
            }
            list = list.in_earlier_version()?.into();
        }
    }

    /// The same list in the next earlier version, for a cluster that does not serve this one.
    pub fn in_earlier_version(&self) -> Option<Self> {
        let (_, earlier) = self.versions.split_first()?;
        (!earlier.is_empty()).then(|| Self { versions: earlier.to_vec(), ..self.clone() })
    }

    /// The same list in another namespace.
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }
}

/// The failing objects at which a tool counts as failed. Fewer make it degraded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailWhen {
    /// Failing objects are counted, and say nothing about the tool.
    #[default]
    Never,
    /// At least this many.
    Count(u32),
    /// At least this share of all objects of the kind, from 1 to 100.
    Percent(u8),
}

impl FailWhen {
    /// Parses `never`, `3` or `10%`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "never" {
            return Some(Self::Never);
        }
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Percent),
            None => text.parse().ok().filter(|count| *count > 0).map(Self::Count),
        }
    }

    /// Whether `failing` objects of `total` make the tool fail. `None`: they say nothing about it.
    fn is_reached(self, failing: u32, total: u32) -> Option<bool> {
        match self {
            Self::Never => None,
            Self::Count(count) => Some(failing >= count),
            Self::Percent(percent) => Some(u64::from(failing) * 100 >= u64::from(total) * u64::from(percent)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_read_in_the_newest_version_that_is_served() {
        let versions = ["v2", "v2beta2", "v2beta1"].map(str::to_owned).to_vec();
        let rules = Arc::new(Rules::compile(RuleTexts::default()).unwrap());
        let list = Arc::new(ManagedList {
            kind: "HelmRelease".to_owned(),
            group: "helm.toolkit.fluxcd.io".to_owned(),
            versions,
            plural: "helmreleases".to_owned(),
            namespace: String::new(),
            rules,
        });
        let served = |versions: &[&str]| {
            let names = versions.iter().map(|version| format!("helmreleases.{version}.helm.toolkit.fluxcd.io"));
            let found = list.as_served(&names.collect())?;
            Some(found.resource().1.to_owned())
        };
        assert_eq!(served(&["v2beta1", "v2"]).as_deref(), Some("v2"));
        assert_eq!(served(&["v2beta1", "v2beta2"]).as_deref(), Some("v2beta2"));
        assert_eq!(served(&["v3"]), None);
    }

    #[test]
    fn share_of_failing_objects_is_compared_exactly() {
        let rows = [
            ("never", 5, 5, None),
            ("1", 1, 100, Some(true)),
            ("3", 2, 2, Some(false)),
            ("10%", 9, 100, Some(false)),
            ("10%", 10, 100, Some(true)),
            ("34%", 1, 3, Some(false)),
            ("33%", 1, 3, Some(true)),
        ];
        for (text, failing, total, reached) in rows {
            assert_eq!(FailWhen::parse(text).unwrap().is_reached(failing, total), reached, "{text} {failing}/{total}");
        }
        for text in ["0", "0%", "101%", "-1", "", "Never", "1.5"] {
            assert_eq!(FailWhen::parse(text), None, "{text}");
        }
    }
}
