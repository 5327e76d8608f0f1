//! Lists all objects of a cluster by name; the difference shows what an installation left behind.

use std::collections::BTreeSet;

use kube::api::{Api, DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Client, ResourceExt};

use super::E2eError;

/// Kinds whose objects come and go on their own.
const UPKEEP: [&str; 2] = ["Event", "ComponentStatus"];

/// Every object as `Kind namespace/name`.
pub(super) async fn inventory(client: &Client) -> Result<BTreeSet<String>, E2eError> {
    let mut found = BTreeSet::new();
    let discovery = Discovery::new(client.clone()).run().await?;
    for (resource, capabilities) in discovery.groups().flat_map(|group| group.recommended_resources()) {
        if UPKEEP.contains(&resource.kind.as_str()) || !capabilities.supports_operation(verbs::LIST) {
            continue;
        }
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list_metadata(&ListParams::default()).await? {
            let namespace = object.namespace().unwrap_or_default();
            found.insert(format!("{} {namespace}/{}", resource.kind, object.name_any()));
        }
    }
    Ok(found)
}
