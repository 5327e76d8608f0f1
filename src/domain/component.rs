//! A component: one thing that an integration expects on a target.

use std::collections::BTreeMap;
use std::fmt;

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
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
            Self::Crd => "CustomResourceDefinition",
        }
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
    /// Alternatives: an object matches if it carries every pair of any one of them.
    pub labels: Vec<BTreeMap<String, String>>,
    /// Exact names.
    pub names: Vec<String>,
}

impl Finder {
    pub fn by_name(name: impl Into<String>) -> Self {
        Self { labels: Vec::new(), names: vec![name.into()] }
    }

    pub fn matches_labels(&self, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().any(|wanted| wanted.iter().all(|(key, value)| labels.get(key) == Some(value)))
    }

    pub fn matches_name(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| wanted == name)
    }
}
