//! Labels targets with their slot, so that a replica can watch those of its own slots only.

use kube::api::Patch;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::field_manager::patch_params;
use crate::api::{IntegrationTarget, SLOT_LABEL};
use crate::domain::keys::TargetKey;
use crate::domain::slot::Slot;

/// Labels `target` with its slot, which is derived from namespace and name and never changes.
pub async fn label_slot(client: &Client, target: &IntegrationTarget) -> Result<(), kube::Error> {
    let (namespace, name) = (target.namespace().unwrap_or_default(), target.name_any());
    let slot = Slot::of(&TargetKey::new(namespace.as_str(), name.as_str())).to_string();
    let api: Api<IntegrationTarget> = Api::namespaced(client.clone(), &namespace);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { SLOT_LABEL: slot } } }));
    api.patch_metadata(&name, &patch_params(), &patch).await.map(|_| ())
}
