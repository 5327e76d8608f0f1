//! What a target's task has to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::desired::{DesiredIntegration, DesiredTarget, effective_interval};
use crate::domain::keys::IntegrationKey;
use crate::domain::queries::first_step;
use crate::domain::snapshot::Query;

/// One target, and the integrations that concern it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub target: Arc<DesiredTarget>,
    pub integrations: Vec<Arc<DesiredIntegration>>,
    /// What the target is asked for them; one set for all targets that the same integrations concern.
    pub queries: Arc<BTreeSet<Query>>,
    pub interval: Duration,
    /// Version of the kubeconfig Secret, where Secrets are watched: another one than was read is to be read.
    pub secret_version: Option<String>,
}

/// The queries of integrations that concern a target together. To be cleared when one of them changes.
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
        let components = integrations.iter().filter_map(|integration| integration.components.as_ref().ok()).flatten();
        let queries = sets.entry(keys).or_insert_with(|| Arc::new(first_step(components))).clone();
        let interval = effective_interval(integrations.iter().map(AsRef::as_ref), default_interval);
        Self { target, integrations, queries, interval, secret_version: None }
    }

    pub fn keys(&self) -> Vec<IntegrationKey> {
        self.integrations.iter().map(|integration| integration.key.clone()).collect()
    }

    /// The type of one of its integrations.
    pub fn type_of(&self, key: &IntegrationKey) -> String {
        let found = self.integrations.iter().find(|integration| integration.key == *key);
        found.map(|integration| integration.type_name.clone()).unwrap_or_default()
    }
}
