//! The desired state of one target's task: the target, its integrations and the queries for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::profiles::ProfileAccess;
use crate::domain::desired::{DesiredIntegration, DesiredTarget, effective_interval};
use crate::domain::keys::IntegrationKey;
use crate::domain::queries::first_step;
use crate::domain::snapshot::Query;

/// One target and the integrations that match it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub target: Arc<DesiredTarget>,
    pub integrations: Vec<Arc<DesiredIntegration>>,
    /// Lists to fetch for them; one set is shared by all targets with the same integrations.
    pub queries: Arc<BTreeSet<Query>>,
    pub interval: Duration,
    /// Version of the kubeconfig Secret, if Secrets are watched. If it differs from the version last read, the task
    /// reads the Secret again.
    pub secret_version: Option<String>,
    /// The access by a ClusterProfile, if the target names one.
    pub profile: Option<ProfileAccess>,
}

/// Queries by set of integrations. Clear it when an integration changes.
pub type QuerySets = BTreeMap<Vec<IntegrationKey>, Arc<BTreeSet<Query>>>;

impl Assignment {
    pub fn new<'a>(
        target: Arc<DesiredTarget>,
        all: impl Iterator<Item = &'a Arc<DesiredIntegration>>,
        sets: &mut QuerySets,
        default_interval: Duration,
    ) -> Self {
        let integrations: Vec<_> = all.filter(|integration| integration.concerns(&target)).cloned().collect();
        let keys = integrations.iter().map(|integration| integration.key.clone()).collect();
        let expected = integrations.iter().filter_map(|integration| integration.expected.as_ref().ok());
        let queries = sets.entry(keys).or_insert_with(|| Arc::new(first_step(expected))).clone();
        let interval = effective_interval(integrations.iter().map(AsRef::as_ref), default_interval);
        Self { target, integrations, queries, interval, secret_version: None, profile: None }
    }

    pub fn keys(&self) -> Vec<IntegrationKey> {
        self.integrations.iter().map(|integration| integration.key.clone()).collect()
    }

    /// The type of the integration `key`; empty if there is none.
    pub fn type_of(&self, key: &IntegrationKey) -> String {
        let found = self.integrations.iter().find(|integration| integration.key == *key);
        found.map(|integration| integration.type_name.clone()).unwrap_or_default()
    }
}
