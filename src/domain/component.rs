//! A component: one object that an integration expects on a target.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::word::Word;

/// The kind of a component's objects on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentKind {
    /// An apps/v1 Deployment.
    Deployment,
    /// An apps/v1 StatefulSet.
    StatefulSet,
    /// An apps/v1 DaemonSet.
    DaemonSet,
    /// A Service with ready endpoints.
    Service,
    /// A CustomResourceDefinition, identified by its full name (`gateways.networking.istio.io`).
    Crd,
    /// An API that another server than the API server serves.
    ApiService,
    /// A ValidatingWebhookConfiguration.
    ValidatingWebhook,
    /// A MutatingWebhookConfiguration.
    MutatingWebhook,
    /// An object of another kind, identified by its name and judged by its conditions.
    Other(Word),
}

impl ComponentKind {
    /// The kinds with rules of their own.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::Service,
        Self::Crd,
        Self::ApiService,
        Self::ValidatingWebhook,
        Self::MutatingWebhook,
    ];

    /// The kind as the Kubernetes API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
            Self::Crd => "CustomResourceDefinition",
            Self::ApiService => "APIService",
            Self::ValidatingWebhook => "ValidatingWebhookConfiguration",
            Self::MutatingWebhook => "MutatingWebhookConfiguration",
            Self::Other(word) => word.as_str(),
        }
    }

    /// `None` for a kind without rules of its own.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether its objects run Pods.
    pub fn is_workload(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet | Self::DaemonSet)
    }

    /// Whether its objects are listed and found by labels; all others are read by name.
    pub fn is_listed(self) -> bool {
        self.is_workload() || self == Self::Service
    }

    /// Whether its objects have no namespace.
    pub fn is_cluster_scoped(self) -> bool {
        matches!(self, Self::Crd | Self::ApiService | Self::ValidatingWebhook | Self::MutatingWebhook)
    }
}

/// The kind of an observed component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SeenKind {
    /// A kind of this version.
    Known(ComponentKind),
    /// A kind of another ksit version.
    Other(Word),
}

impl SeenKind {
    /// The kind as it is spelt in reports and statuses.
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
    /// The usual kind.
    pub kind: ComponentKind,
    /// Kinds that its objects may have instead.
    pub or_kinds: Vec<ComponentKind>,
    /// Group and version of [`ComponentKind::Other`], such as `velero.io/v1`.
    pub api_version: Option<String>,
    /// Its common name (`argocd-server`), which is also its key in `config`.
    pub name: String,
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// Other namespaces in which its objects may be.
    pub elsewhere: Vec<String>,
    /// Labels and names by which its objects are found.
    pub finder: Finder,
    /// Whether it may be missing.
    pub presence: Presence,
    /// Whether its presence proves that the tool is installed.
    pub anchor: bool,
    /// Minimum of ready Pods or endpoints. `None`: as the kind's own controller judges.
    pub min_ready: Option<MinReady>,
    /// Whether its Pods vote: fewer than a majority of three or more can't work.
    pub quorum: bool,
    /// For a Service: the component whose Pods it selects. While that is not in use, neither is the Service.
    pub workload: Option<String>,
    /// Deadlines from the user's `config`.
    pub patience: Patience,
}

/// A lower bound of ready Pods or endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinReady {
    /// At least 1.
    Pods(u32),
    /// A share of the desired Pods, rounded up; from 1 to 100.
    Percent(u8),
}

impl MinReady {
    /// The bound in Pods, of `desired` ones.
    pub fn of(self, desired: u32) -> u32 {
        match self {
            Self::Pods(pods) => pods,
            Self::Percent(percent) => {
                let pods = (u64::from(desired) * u64::from(percent)).div_ceil(100);
                u32::try_from(pods).unwrap_or(u32::MAX).max(1)
            }
        }
    }

    /// Parses `3` or `90%`. `None` for anything else, and for none at all.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| (1..=100).contains(percent)).map(Self::Percent),
            None => text.parse().ok().filter(|pods| *pods > 0).map(Self::Pods),
        }
    }
}

/// How long a component may stay below strength.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Time until something that is on its way counts as stuck.
    pub progress_deadline: Duration,
    /// Time until something that is not ready counts as failed.
    pub fail_after: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { progress_deadline: Duration::from_secs(600), fail_after: Duration::ZERO }
    }
}

impl Component {
    /// A required component with the kind's own rules.
    pub fn required(kind: ComponentKind, name: impl Into<String>, namespace: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            kind,
            or_kinds: Vec::new(),
            api_version: None,
            finder: Finder::by_name(name.clone()),
            name,
            namespace: namespace.into(),
            elsewhere: Vec::new(),
            presence: Presence::Required,
            anchor: kind.is_workload(),
            min_ready: None,
            quorum: false,
            workload: None,
            patience: Patience::default(),
        }
    }

    /// Name of its object, if its kind is not found by labels.
    pub(super) fn object_name(&self) -> &str {
        self.finder.names.first().unwrap_or(&self.name)
    }

    /// The usual kind, then the others.
    pub fn kinds(&self) -> impl Iterator<Item = ComponentKind> {
        std::iter::once(self.kind).chain(self.or_kinds.iter().copied())
    }

    /// The usual namespace, then the others.
    pub fn namespaces(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.namespace).chain(&self.elsewhere).map(String::as_str)
    }
}

/// Whether a component may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// Must exist and work.
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
    /// A finder of the one object with this name.
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { labels: Vec::new(), names: vec![name.into()] }
    }

    /// Selects the objects of the component from all objects of its kinds in its namespaces.
    pub fn pick<T>(
        &self,
        objects: impl Iterator<Item = T> + Clone,
        name: impl Fn(&T) -> &str,
        labels: impl Fn(&T) -> &BTreeMap<String, String>,
    ) -> Vec<T> {
        let labelled: Vec<T> = objects.clone().filter(|object| self.matches_labels(labels(object))).collect();
        if !labelled.is_empty() {
            return labelled;
        }
        objects.filter(|object| self.matches_name(name(object))).collect()
    }

    /// Whether the labels have every pair of any one alternative.
    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().any(|wanted| wanted.iter().all(|(key, value)| satisfies(labels.get(key), value)))
    }

    /// Whether this is one of the exact names.
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
        assert_eq!(finder.pick(objects.iter(), |o| o.0, |o| &o.1), [&labelled]);
        assert_eq!(finder.pick(objects[..1].iter(), |o| o.0, |o| &o.1), [&named]);
    }

    #[test]
    fn share_of_pods_is_rounded_up() {
        let rows = [("3", 10, 3), ("90%", 10, 9), ("90%", 11, 10), ("1%", 0, 1), ("100%", 5, 5)];
        for (text, desired, pods) in rows {
            assert_eq!(MinReady::parse(text).map(|min| min.of(desired)), Some(pods), "{text} of {desired}");
        }
        for text in ["0", "0%", "101%", "-1", "", "%", "1.5", "half", "4294967296"] {
            assert_eq!(MinReady::parse(text), None, "{text}");
        }
    }
}
