//! Writes whether ksit can use a user's type of integration.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::api::Patch;
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::field_manager::patch_params;
use crate::api::{IntegrationType, convert};

const ACCEPTED: &str = "Accepted";

/// Writes the condition `Accepted`, unless it is as it should be.
///
/// # Errors
/// As the API server answers; a conflict if the type has changed meanwhile.
pub async fn accept_type(client: &Client, object: &IntegrationType) -> Result<(), kube::Error> {
    let Some(condition) = condition(object) else { return Ok(()) };
    let (Some(namespace), name) = (object.namespace(), object.name_any()) else { return Ok(()) };
    let patch = json!({
        "metadata": { "resourceVersion": object.resource_version() },
        "status": { "conditions": [condition], "observedGeneration": object.metadata.generation },
    });
    let api: Api<IntegrationType> = Api::namespaced(client.clone(), &namespace);
    api.patch_status(&name, &patch_params(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// The condition to write; `None` if the type has it already.
fn condition(object: &IntegrationType) -> Option<Condition> {
    let (status, reason, message) = match convert::tool(&object.name_any(), &object.spec) {
        Ok(_) => ("True", "Accepted", "the type can be used".to_owned()),
        Err(error) => ("False", "InvalidType", error),
    };
    let former = object.status.iter().flat_map(|status| &status.conditions);
    let former = former.into_iter().find(|condition| condition.type_ == ACCEPTED);
    let is_same = former.is_some_and(|former| {
        former.status == status && former.message == message && former.observed_generation == object.metadata.generation
    });
    let since = former.filter(|former| former.status == status).map(|former| former.last_transition_time.clone());
    (!is_same).then(|| Condition {
        type_: ACCEPTED.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: since.unwrap_or_else(|| Time(Timestamp::now())),
        observed_generation: object.metadata.generation,
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
        let written = condition(&good).unwrap();
        assert_eq!((written.status.as_str(), written.observed_generation), ("True", Some(2)));
        good.status.get_or_insert_default().conditions.push(written);
        assert!(condition(&good).is_none());
        let bad = condition(&object("A")).unwrap();
        assert!(bad.status == "False" && bad.message.starts_with("spec.components[0].name"), "{}", bad.message);
    }
}
