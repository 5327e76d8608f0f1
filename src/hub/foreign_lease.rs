//! Reads the Lease of another installation's coordinator. Only whether it changes, and its duration, matter.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, ResourceExt};

use super::prompt_client::{PromptClient, PromptError};
use crate::domain::coordinator::ForeignLease;

/// Reads the Lease; `None` if it does not exist.
pub async fn foreign_lease(
    hub: &PromptClient,
    namespace: &str,
    name: &str,
) -> Result<Option<ForeignLease>, PromptError> {
    let read = async |client| Api::<Lease>::namespaced(client, namespace).get_opt(name).await;
    Ok(hub.ask(read).await?.and_then(|lease| {
        let seconds = lease.spec.as_ref().and_then(|spec| u64::try_from(spec.lease_duration_seconds?).ok());
        Some(ForeignLease { resource_version: lease.resource_version()?, duration: seconds.map(Duration::from_secs) })
    }))
}
