//! Writes the status of a Notifier.

use kube::api::Patch;
use kube::{Api, Client};
use serde_json::json;
use tokio::time::timeout;

use super::cause::cause;
use super::field_manager::patch_params;
use super::prompt_client::PROMPT_TIMEOUT;
use crate::api::{Notifier, NotifierStatus};
use crate::domain::keys::NotifierKey;

/// Writes the status over whatever is there. The API server refuses that of an earlier term.
///
/// # Errors
/// A sentence about the hub.
pub async fn write_notifier_status(client: &Client, key: &NotifierKey, status: &NotifierStatus) -> Result<(), String> {
    let api: Api<Notifier> = Api::namespaced(client.clone(), key.namespace());
    let (parameters, patch) = (patch_params(), Patch::Merge(json!({ "status": status })));
    match timeout(PROMPT_TIMEOUT, api.patch_status(key.name(), &parameters, &patch)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("the hub {}", cause(&error))),
        Err(_) => Err(format!("the hub did not answer within {} s", PROMPT_TIMEOUT.as_secs())),
    }
}
