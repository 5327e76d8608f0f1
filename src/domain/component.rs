//! A component: one object that an integration expects on a target.

use std::collections::BTreeMap;
use std::fmt;

use super::word::Word;

/// The kind of a component's objects on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    /// A Service with ready endpoints.
    Service,
    /// A CustomResourceDefinition, identified by its full name (`gateways.networking.istio.io`).
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

/// The kind of an observed component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenKind {
    Known(ComponentKind),
    /// A kind of another ksit version.
    Other(Word),
}

impl SeenKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Known(kind) => kind.as_str(),
            Self::Other(word) => word.as_str(),
        }
    }

    /// Parses a report's or status's spelling. `None` if it is not a name.
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

/// One component to find and evaluate, with the user's `config` applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    pub kind: ComponentKind,
    /// Its common name (`argocd-server`), which is also its key in `config`.
    pub name: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    pub finder: Finder,
    pub presence: Presence,
    /// Minimum number of ready Pods or endpoints.
    pub min_ready: u32,
}

/// Whether a component may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    Required,
    /// May be absent or scaled to zero; if in use, it must be healthy.
    Optional,
}

/// Finds the objects of a component, whatever the Helm release is called.
///
/// Labels come first; names count only if no object has the labels. Every object found must be healthy: two revisions
/// of istiod are two objects to check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finder {
    /// Alternatives: an object matches if it satisfies every pair of any one of them. A wanted value is the value
    /// itself, `prefix*`, or `!value` for "absent or different"; neither sign is valid in a label value, so this is
    /// unambiguous.
    pub labels: Vec<BTreeMap<String, String>>,
    /// Exact names.
    pub names: Vec<String>,
}

impl Finder {
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { labels: Vec::new(), names: vec![name.into()] }
    }

    /// Selects the objects of the component from all objects of its kind in its namespace.
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

/// Whether a label (`None` if the object doesn't have the key) has the wanted value, in the syntax of
/// [`Finder::labels`].
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
    fn label_values_match_exactly_by_prefix_or_negated() {
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
    fn names_count_only_if_no_object_has_the_labels() {
        let finder = Finder { labels: vec![labels(&[("app", "x")])], names: vec!["x".to_owned()] };
        let named = ("x", BTreeMap::new());
        let labelled = ("zebra", labels(&[("app", "x")]));
        let objects = [named.clone(), labelled.clone()];
        assert_eq!(finder.pick(&objects, |o| o.0, |o| &o.1), [&labelled]);
        assert_eq!(finder.pick(&objects[..1], |o| o.0, |o| &o.1), [&named]);
    }
}
