//! The API server and the operator accept every manifest of `examples`.

use std::collections::BTreeMap;
use std::fs;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::TypeMeta;
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::kit::{World, eventually, with_validation};

/// The namespace of the examples, and that of the team.
const NAMESPACES: &str = "--watch-namespaces=ksit-system,team-payments";

/// Every object of `examples`, in the order of the files, with the name of its file.
fn examples() -> BTreeMap<String, Vec<DynamicObject>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "yaml") {
            let objects = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap()).unwrap();
            files.insert(path.file_name().unwrap().display().to_string(), objects);
        }
    }
    files
}

fn api(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let TypeMeta { api_version, kind } = object.types.clone().unwrap();
    let (group, version) = api_version.rsplit_once('/').unwrap_or(("", &api_version));
    let plural = format!("{}s", kind.to_lowercase());
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version.clone(),
        kind,
        plural,
    };
    match object.namespace() {
        Some(namespace) => Api::namespaced_with(client.clone(), &namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// Whether all of `written` was stored. The API server adds defaults, and drops fields that it does not know.
fn keeps(stored: &Value, written: &Value) -> bool {
    match (stored, written) {
        (Value::Object(stored), Value::Object(written)) => {
            written.iter().all(|(key, value)| stored.get(key).is_some_and(|stored| keeps(stored, value)))
        }
        (Value::Array(stored), Value::Array(written)) => {
            stored.len() == written.len() && stored.iter().zip(written).all(|(stored, written)| keeps(stored, written))
        }
        // An object without a spec.
        (_, Value::Null) => true,
        _ => stored == written,
    }
}

/// Whether a user of the group of `team.yaml` may do this in its namespace.
async fn may(client: &Client, verb: &str, group: &str, resource: &str) -> bool {
    let attributes = ResourceAttributes {
        namespace: Some("team-payments".to_owned()),
        verb: Some(verb.to_owned()),
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some("ann".to_owned()),
        groups: Some(vec!["payments".to_owned()]),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let reviews: Api<SubjectAccessReview> = Api::all(client.clone());
    reviews.create(&PostParams::default(), &review).await.unwrap().status.unwrap().allowed
}

#[tokio::test]
async fn examples_are_accepted_by_the_operator() {
    let mut world = World::new("ksit-system").await;
    let _validation = with_validation().await;
    let mut accepted = Vec::new();
    for (file, objects) in examples() {
        assert!(!objects.is_empty(), "{file}");
        for object in objects {
            let api = api(&world.client, &object);
            let (name, params) = (object.name_any(), PatchParams::apply("test").force());
            let stored = api.patch(&name, &params, &Patch::Apply(&object)).await;
            let stored = stored.unwrap_or_else(|error| panic!("{file}: {name}: {error}"));
            assert!(keeps(&stored.data["spec"], &object.data["spec"]), "{file}: {name}: {}", stored.data);
            if matches!(object.types.unwrap().kind.as_str(), "Integration" | "IntegrationType") {
                accepted.push((file.clone(), name, api));
            }
        }
    }
    assert!(accepted.len() >= 8, "{} objects", accepted.len());

    world.start_operator(&[NAMESPACES]).await;
    for (file, name, api) in accepted {
        let condition = eventually(&format!("the condition Accepted of {file}: {name}"), async || {
            let object = api.get(&name).await.unwrap();
            let conditions = object.data["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|condition| condition["type"] == "Accepted")
        })
        .await;
        assert_eq!(condition["status"], "True", "{file}: {name}: {condition}");
    }

    assert!(may(&world.client, "create", "ksit.io", "integrations").await);
    assert!(may(&world.client, "list", "ksit.io", "integrationtargets").await);
    for (verb, group, resource) in
        [("create", "ksit.io", "integrationtargets"), ("get", "", "secrets"), ("create", "", "secrets")]
    {
        assert!(!may(&world.client, verb, group, resource).await, "{verb} {resource}");
    }
}
