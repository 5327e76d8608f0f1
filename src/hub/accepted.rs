//! Writes whether ksit can use an object of a user: a type of integration, or a maintenance window.

use jiff::Timestamp;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::Patch;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::field_manager::patch_params;
use crate::api::{IntegrationType, MaintenanceWindow, convert};

const ACCEPTED: &str = "Accepted";

/// Writes the condition `Accepted` of a type, unless it is as it should be.
///
/// # Errors
/// As the API server answers; a conflict if the type has changed meanwhile.
pub async fn accept_type(client: &Client, object: &IntegrationType) -> Result<(), kube::Error> {
    match type_condition(object) {
        Some(condition) => write(client, object, condition).await,
        None => Ok(()),
    }
}

/// Writes the condition `Accepted` of a window, unless it is as it should be.
///
/// # Errors
/// As the API server answers; a conflict if the window has changed meanwhile.
pub async fn accept_window(client: &Client, object: &MaintenanceWindow) -> Result<(), kube::Error> {
    let verdict = match convert::window(object, Timestamp::now()) {
        Ok(_) => ("True", "Accepted", "the window can be used".to_owned()),
        Err(error) => ("False", "InvalidSpec", error),
    };
    let former = object.status.iter().flat_map(|status| &status.conditions);
    match condition(former, object.metadata.generation, verdict) {
        Some(condition) => write(client, object, condition).await,
        None => Ok(()),
    }
}

async fn write<K>(client: &Client, object: &K, condition: Condition) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let (Some(namespace), name) = (object.namespace(), object.name_any()) else { return Ok(()) };
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version() },
        "status": { "conditions": [condition], "observedGeneration": object.meta().generation },
    });
    let api: Api<K> = Api::namespaced(client.clone(), &namespace);
    api.patch_status(&name, &patch_params(), &Patch::Merge(patch)).await?;
    Ok(())
}

fn type_condition(object: &IntegrationType) -> Option<Condition> {
    let verdict = match convert::tool(&object.name_any(), &object.spec) {
        Ok(_) => ("True", "Accepted", "the type can be used".to_owned()),
        Err(error) => ("False", "InvalidType", error),
    };
    condition(object.status.iter().flat_map(|status| &status.conditions), object.metadata.generation, verdict)
}

/// The condition to write; `None` if the object has it already.
fn condition<'a>(
    mut former: impl Iterator<Item = &'a Condition>,
    generation: Option<i64>,
    (status, reason, message): (&str, &str, String),
) -> Option<Condition> {
    let former = former.find(|condition| condition.type_ == ACCEPTED);
    let is_same = former.is_some_and(|former| {
        former.status == status && former.message == message && former.observed_generation == generation
    });
    let since = former.filter(|former| former.status == status).map(|former| former.last_transition_time.clone());
    (!is_same).then(|| Condition {
        type_: ACCEPTED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or_else(|| Time(Timestamp::now())),
        observed_generation: generation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn condition_is_written_once_and_names_the_fault() {
        let object = |component: &str| -> IntegrationType {
            serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationType",
                "metadata": {"name": "a.b", "namespace": "fleet", "generation": 2},
                "spec": {"title": "T", "namespace": "t", "components": [{"kind": "Deployment", "name": component}]}}))
            .unwrap()
        };
        let mut good = object("a");
        let written = type_condition(&good).unwrap();
        assert_eq!((written.status.as_str(), written.observed_generation), ("True", Some(2)));
        good.status.get_or_insert_default().conditions.push(written);
        assert!(type_condition(&good).is_none());
        let bad = type_condition(&object("A")).unwrap();
        assert!(bad.status == "False" && bad.message.starts_with("spec.components[0].name"), "{}", bad.message);
    }
}
