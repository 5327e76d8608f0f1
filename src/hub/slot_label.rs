//! The label by which a replica watches the targets of its own slots alone.

use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use crate::api::{FIELD_MANAGER, IntegrationTarget, SLOT_LABEL};
use crate::domain::keys::TargetKey;
use crate::domain::slot::Slot;

/// Labels `target` with its slot. A slot follows from namespace and name and never changes.
pub async fn label_slot(client: &Client, target: &IntegrationTarget) -> Result<(), kube::Error> {
    let (namespace, name) = (target.namespace().unwrap_or_default(), target.name_any());
    let slot = Slot::of(&TargetKey::new(namespace.as_str(), name.as_str())).to_string();
    let api: Api<IntegrationTarget> = Api::namespaced(client.clone(), &namespace);
    let patch = Patch::Merge(json!({ "metadata": { "labels": { SLOT_LABEL: slot } } }));
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    api.patch_metadata(&name, &params, &patch).await.map(|_| ())
}
