//! The Lease of a stranger, of which only matters whether it changes.

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};

use super::prompt_client::{PromptClient, PromptError};

/// Its resourceVersion; `None` if there is none.
pub async fn lease_version(hub: &PromptClient, namespace: &str, name: &str) -> Result<Option<String>, PromptError> {
    let read = async |client| Api::<Lease>::namespaced(client, namespace).get_opt(name).await;
    Ok(hub.ask(read).await?.and_then(|lease| lease.resource_version()))
}
