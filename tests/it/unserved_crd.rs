//! A CustomResourceDefinition whose names another one has: it exists, and is not served.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::kit::{World, target};

const USER: &str = "crd-reader";

/// A definition of kind `Widget` under this plural.
fn definition(plural: &str) -> CustomResourceDefinition {
    let schema = json!({ "openAPIV3Schema": { "type": "object" } });
    serde_json::from_value(json!({
        "metadata": { "name": format!("{plural}.unserved.example.com") },
        "spec": { "group": "unserved.example.com", "scope": "Namespaced",
            "names": { "plural": plural, "singular": "widget", "kind": "Widget", "listKind": "WidgetList" },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": schema }] },
    }))
    .unwrap()
}

#[tokio::test]
async fn crd_without_its_names_is_failed_until_it_is_served() {
    let plane = target().await;
    let crds: Api<CustomResourceDefinition> = Api::all(plane.client().await.unwrap());
    crds.create(&PostParams::default(), &definition("oldwidgets")).await.unwrap();
    let mut world = World::new("unserved-crd").await;
    world.target("a", &plane.kubeconfig_of(USER, Some("system:masters")).unwrap()).await;
    let components = ["oldwidgets", "widgets"]
        .map(|plural| json!({ "kind": "CustomResourceDefinition", "name": format!("{plural}.unserved.example.com") }));
    for (name, component) in ["old", "new"].into_iter().zip(components) {
        let spec = json!({ "type": "custom", "targetClusters": ["a"], "components": [component] });
        world.integration(name, spec).await;
    }
    world.start_operator(&["--interval=1s"]).await;
    world.until_phase("old", "Running").await;
    world.until_phase("new", "Failed").await;

    crds.create(&PostParams::default(), &definition("widgets")).await.unwrap();
    world
        .until_integration("new", |integration| {
            let message = integration.status.as_ref().and_then(|status| status.full_message()).unwrap_or_default();
            message.contains("widgets.unserved.example.com is not served: NamesAccepted is False (")
        })
        .await;
    let whole = |since| {
        let events = plane.audit().since(since).unwrap();
        let ours = events.into_iter().filter(|event| event.user.username == USER);
        ours.filter(|event| event.request_uri.ends_with("/oldwidgets.unserved.example.com")).count()
    };
    let mark = plane.audit().mark();
    crds.delete("oldwidgets.unserved.example.com", &Default::default()).await.unwrap();
    world.until_phase("new", "Running").await;
    world.until_phase("old", "Failed").await;
    assert!(whole(mark) > 0, "definitions are read by name, as ever");
}
