//! The StatefulSet that runs the replicas: how many are wanted, and who owns what they make.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Resource};

use super::prompt_client::{PromptClient, PromptError};

/// The one StatefulSet that this replica belongs to, if it belongs to any.
#[derive(Clone)]
pub struct StatefulSets {
    pub hub: PromptClient,
    pub namespace: String,
    /// None: the replica's name has no ordinal, so no StatefulSet gave it.
    pub name: Option<String>,
}

impl StatefulSets {
    /// `spec.replicas`; `None` without a StatefulSet.
    pub async fn replicas(&self) -> Result<Option<u32>, PromptError> {
        let replicas = |set: StatefulSet| set.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        Ok(self.read().await?.map(|set| u32::try_from(replicas(set)).unwrap_or(0)))
    }

    /// For the `ownerReferences` of Leases and of the map.
    pub async fn owner(&self) -> Result<Option<OwnerReference>, PromptError> {
        Ok(self.read().await?.and_then(|set| set.owner_ref(&())))
    }

    async fn read(&self) -> Result<Option<StatefulSet>, PromptError> {
        let Some(name) = &self.name else { return Ok(None) };
        self.hub.ask(async |client| Api::<StatefulSet>::namespaced(client, &self.namespace).get_opt(name).await).await
    }
}
