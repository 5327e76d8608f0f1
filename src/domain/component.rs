//! A component: one thing that an integration expects on a target.

use std::collections::BTreeMap;
use std::fmt;

use super::word::Word;

/// What a component is on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    /// A Service with ready endpoints.
    Service,
    /// A CustomResourceDefinition, told by its full name (`gateways.networking.istio.io`).
    Crd,
}

impl ComponentKind {
    pub const ALL: [Self; 5] = [Self::Deployment, Self::StatefulSet, Self::DaemonSet, Self::Service, Self::Crd];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
            Self::Crd => "CustomResourceDefinition",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The kind of what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenKind {
    Known(ComponentKind),
    /// One of another version.
    Other(Word),
}

impl SeenKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Other(word) => word.as_str(),
        }
    }

    /// As a report or a status has it. `None` for what is no name.
    pub fn read(text: &str) -> Option<Self> {
        ComponentKind::parse(text).map(Self::Known).or_else(|| Word::of(text).map(Self::Other))
    }
}

impl From<ComponentKind> for SeenKind {
    fn from(kind: ComponentKind) -> Self {
        Self::Known(kind)
    }
}

impl fmt::Display for SeenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for ComponentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing to find and judge, ready to be evaluated: the user's `config` is already worked in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub kind: ComponentKind,
    /// What people call it (`argocd-server`); also the key by which `config` speaks of it.
    pub name: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub finder: Finder,
    pub presence: Presence,
    /// How many Pods or endpoints must be ready at the least.
    pub min_ready: u32,
}

/// Whether a component may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// May be absent or scaled to zero; where it is in use, it must work.
    Optional,
}

/// How the objects of a component are recognised, whatever the Helm release is called.
///
/// Labels are asked first. Only if no object has them do names count. Every object that is found must be healthy,
/// so that two revisions of istiod are two things to look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finder {
    /// Alternatives: an object matches if it satisfies every pair of any one of them. A wanted value is the value
    /// itself, `prefix*` for any value that begins so, or `!value` for "absent or something else"; neither sign may
    /// stand in a real label value, so nothing is ambiguous.
    pub labels: Vec<BTreeMap<String, String>>,
    /// Exact names.
    pub names: Vec<String>,
}

impl Finder {
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { labels: Vec::new(), names: vec![name.into()] }
    }

    /// The objects of the component among all of its kind in its namespace.
    pub fn pick<'a, T>(
        &self,
        objects: &'a [T],
        name: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) -> Vec<&'a T> {
        let labelled: Vec<&T> = objects.iter().filter(|object| self.matches_labels(labels(object))).collect();
        if !labelled.is_empty() {
            return labelled;
        }
        objects.iter().filter(|object| self.matches_name(name(object))).collect()
    }

    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().any(|wanted| wanted.iter().all(|(key, value)| satisfies(labels.get(key), value)))
    }

    pub fn matches_name(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name)
    }
}

/// Whether a label (`None` where the object has no such key) has the wanted value, as [`Finder::labels`] writes it.
fn satisfies(found: Option<&String>, wanted: &str) -> bool {
    if let Some(unwanted) = wanted.strip_prefix('!') {
        return found.is_none_or(|value| value != unwanted);
    }
    match (found, wanted.strip_suffix('*')) {
        (None, _) => false,
        (Some(value), Some(prefix)) => value.starts_with(prefix),
        (Some(value), None) => value == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_wanted_value_may_be_exact_a_prefix_or_a_refusal() {
        let finder = Finder {
            labels: vec![labels(&[("chart", "gateway-*"), ("istio", "!egress")]), labels(&[("app", "x")])],
            names: Vec::new(),
        };
        assert!(finder.matches_labels(&labels(&[("chart", "gateway-1.2"), ("istio", "zebra")])));
        assert!(finder.matches_labels(&labels(&[("chart", "gateway-1.2")])));
        assert!(!finder.matches_labels(&labels(&[("chart", "gateway-1.2"), ("istio", "egress")])));
        assert!(!finder.matches_labels(&labels(&[("istio", "zebra")])));
        assert!(finder.matches_labels(&labels(&[("app", "x"), ("other", "y")])));
        assert!(!finder.matches_labels(&labels(&[("app", "xx")])));
    }

    #[test]
    fn names_count_only_where_no_object_has_the_labels() {
        let finder = Finder { labels: vec![labels(&[("app", "x")])], names: vec!["x".to_owned()] };
        let named = ("x", BTreeMap::new());
        let labelled = ("zebra", labels(&[("app", "x")]));
        let objects = [named.clone(), labelled.clone()];
        assert_eq!(finder.pick(&objects, |o| o.0, |o| &o.1), [&labelled]);
        assert_eq!(finder.pick(&objects[..1], |o| o.0, |o| &o.1), [&named]);
    }
}
