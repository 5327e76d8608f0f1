//! What a target's task has to do.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::component::Component;
use crate::domain::desired::{DesiredIntegration, DesiredTarget, effective_interval};
use crate::domain::keys::IntegrationKey;

/// One target, and the integrations that concern it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    pub target: Arc<DesiredTarget>,
    pub integrations: Vec<Arc<DesiredIntegration>>,
    pub interval: Duration,
    /// Version of the kubeconfig Secret, where Secrets are watched: another one than was read is to be read.
    pub secret_version: Option<String>,
}

impl Assignment {
    pub fn new<'a>(
        target: Arc<DesiredTarget>,
        all: impl Iterator<Item = &'a Arc<DesiredIntegration>>,
        default_interval: Duration,
    ) -> Self {
        let integrations: Vec<_> = all.filter(|integration| integration.concerns(&target)).cloned().collect();
        let interval = effective_interval(integrations.iter().map(AsRef::as_ref), default_interval);
        Self { target, integrations, interval, secret_version: None }
    }

    pub fn keys(&self) -> Vec<IntegrationKey> {
        self.integrations.iter().map(|integration| integration.key.clone()).collect()
    }

    /// The type of one of its integrations.
    pub fn type_of(&self, key: &IntegrationKey) -> String {
        let found = self.integrations.iter().find(|integration| integration.key == *key);
        found.map(|integration| integration.type_name.clone()).unwrap_or_default()
    }

    pub fn components(&self) -> impl Iterator<Item = &Component> {
        self.integrations.iter().filter_map(|integration| integration.components.as_ref().ok()).flatten()
    }
}
