//! Settings that all target tasks share.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::domain::replica::ReplicaName;
use crate::observability::TargetMetrics;

#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    /// This replica's name.
    pub replica: ReplicaName,
    /// Default for Integrations without an interval.
    pub interval: Duration,
    pub failure_threshold: u32,
    pub check_by: CheckBy,
    /// Namespaces whose targets may use `spec.access`.
    pub access_namespaces: BTreeSet<String>,
    /// Renew the tokens in Secrets that ask for it.
    pub renew_tokens: bool,
    /// Follow ClusterProfiles in those namespaces.
    pub cluster_profiles: bool,
    /// Whether each target has its own metric series.
    pub target_metrics: TargetMetrics,
}

impl WorkerSettings {
    /// The namespaces whose ClusterProfiles are followed, if any are.
    pub(super) fn followed_profiles(&self) -> Option<BTreeSet<String>> {
        self.cluster_profiles.then(|| self.access_namespaces.clone())
    }
}

/// How targets are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CheckBy {
    /// By watches, or by polling a target that offers none.
    #[default]
    Auto,
    /// By listing everything once per interval.
    Poll,
}
