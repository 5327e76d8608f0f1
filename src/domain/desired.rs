//! The desired state: the validated resources of the user.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::access::TargetAccess;
use super::aggregate::Selection;
use super::evaluate::WhenAbsent;
use super::expected::Expected;
use super::keys::{IntegrationKey, TargetKey};
use super::reason::Failure;
use super::roll_up::MaxUnhealthy;

/// One `Integration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredIntegration {
    /// Namespace and name.
    pub key: IntegrationKey,
    /// The tool, such as `argocd`; also an unknown one.
    pub type_name: String,
    /// If false, the tool is checked nowhere.
    pub enabled: bool,
    /// The targets that it concerns, in its own namespace.
    pub selection: Selection,
    /// The components to check, or why the spec can't be used.
    pub expected: Result<Expected, Failure>,
    /// Whether a cluster may lack the tool.
    pub when_absent: WhenAbsent,
    /// Unhealthy clusters that the roll-up tolerates.
    pub max_unhealthy: MaxUnhealthy,
    /// `None`: the operator's default.
    pub interval: Option<Duration>,
    /// The stored object requests installation, which ksit doesn't support.
    pub wants_install: bool,
    /// Generation of the spec.
    pub generation: i64,
}

impl DesiredIntegration {
    /// Whether the tool has to be checked on the target.
    pub fn concerns(&self, target: &DesiredTarget) -> bool {
        self.enabled
            && self.expected.is_ok()
            && self.key.namespace() == target.key.namespace()
            && self.selection.wants(&target.cluster_name, &target.labels)
    }
}

/// One `IntegrationTarget`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DesiredTarget {
    /// Namespace and name.
    pub key: TargetKey,
    /// Name for users and for `targetClusters`; need not be unique.
    pub cluster_name: Arc<str>,
    /// `metadata.labels` over `spec.labels`.
    pub labels: BTreeMap<String, String>,
    /// Secret with the kubeconfig, in the namespace of the target.
    pub secret_name: String,
    /// `None`: the usual keys, in order.
    pub secret_key: Option<String>,
    /// Signs in with an identity of the operator instead of that Secret.
    pub access: Option<TargetAccess>,
    /// Not checked until this is unset.
    pub paused: bool,
    /// Not checked before this time.
    pub paused_until: Option<Timestamp>,
    /// Generation of the spec.
    pub generation: i64,
}

impl DesiredTarget {
    pub(crate) fn is_paused(&self, now: Timestamp) -> bool {
        self.paused || self.paused_until.is_some_and(|until| now < until)
    }
}

/// How often a target is checked: the shortest interval of the integrations that concern it.
pub(crate) fn effective_interval<'a>(
    integrations: impl IntoIterator<Item = &'a DesiredIntegration>,
    default: Duration,
) -> Duration {
    integrations.into_iter().map(|integration| integration.interval.unwrap_or(default)).min().unwrap_or(default)
}
