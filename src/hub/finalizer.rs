//! Removes the Go toolkit's finalizer. Nothing else removes it, so deletions would hang forever.

use kube::api::Patch;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::field_manager::patch_params;
use crate::api::{Integration, LEGACY_FINALIZER};

/// Removes the finalizer from `integration` if it is set. Other finalizers stay.
pub async fn remove_legacy_finalizer(client: &Client, integration: &Integration) -> Result<(), kube::Error> {
    let Some(index) = integration.finalizers().iter().position(|name| name == LEGACY_FINALIZER) else {
        return Ok(());
    };
    let (Some(namespace), name) = (integration.namespace(), integration.name_any()) else { return Ok(()) };
    let path = format!("/metadata/finalizers/{index}");
    // The test fails if the list has changed meanwhile; the watch then delivers the object again.
    let patch = json!([
        { "op": "test", "path": path, "value": LEGACY_FINALIZER },
        { "op": "remove", "path": path },
    ]);
    let patch: Patch<Integration> = Patch::Json(serde_json::from_value(patch).map_err(kube::Error::SerdeError)?);
    let api: Api<Integration> = Api::namespaced(client.clone(), &namespace);
    api.patch(&name, &patch_params(), &patch).await?;
    Ok(())
}
