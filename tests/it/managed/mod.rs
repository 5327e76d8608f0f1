//! Objects that a tool manages, on real API servers.

mod facts;
mod real_crds;

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use ksit::api::IntegrationTarget;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use testkit::workloads::Workloads;

use crate::kit::{World, eventually, target, with_validation};

/// A kind of objects on the target, in a group of its own.
struct Kind {
    client: Client,
    group: String,
}

impl Kind {
    async fn new(group: &str) -> Self {
        Self { client: target().await.client().await.unwrap(), group: format!("{group}.example.com") }
    }

    async fn define(&self) {
        let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        let crd = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("portals.{}", self.group) },
            "spec": { "group": self.group, "scope": "Namespaced",
                "names": { "kind": "Portal", "plural": "portals", "singular": "portal", "listKind": "PortalList" },
                "versions": [{ "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                    "schema": { "openAPIV3Schema": schema } }] } });
        let crds: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        crds.create(&PostParams::default(), &serde_json::from_value(crd).unwrap()).await.unwrap();
    }

    fn api(&self, namespace: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(&self.group, "v1", "Portal");
        Api::namespaced_with(self.client.clone(), namespace, &ApiResource::from_gvk(&kind))
    }

    async fn create(&self, namespace: &str, name: &str, status: Value) {
        let object = json!({ "apiVersion": format!("{}/v1", self.group), "kind": "Portal",
            "metadata": { "name": name, "labels": { "team": "a" } }, "spec": { "size": 3 } });
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let api = self.api(namespace);
        eventually("the kind to be served", async || api.create(&PostParams::default(), &object).await.ok()).await;
        self.set_status(namespace, name, status).await;
    }

    async fn set_status(&self, namespace: &str, name: &str, status: Value) {
        let patch = Patch::Merge(json!({ "status": status }));
        self.api(namespace).patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A type of integration whose tool manages this kind.
    fn spec(&self, namespace: &str) -> Value {
        json!({ "title": "Backstage", "namespace": namespace,
            "components": [{ "kind": "Deployment", "name": "backstage" }],
            "resources": [{ "apiVersion": format!("{}/v2", self.group), "orVersions": ["v1"], "kind": "Portal",
                "suspended": "object.spec.suspend", "failed": "object.status.phase == 'Broken'",
                "reason": "object.status.phase" }] })
    }
}

const TYPE: &str = "backstage.example.com";

/// A control plane with a running Backstage, and an operator that checks it.
async fn world(name: &str, kind: &Kind, config: Value) -> World {
    let workloads = Workloads::new(target().await.client().await.unwrap());
    workloads.namespace(name).await.unwrap();
    workloads.workload("Deployment", name, "backstage", &BTreeMap::new(), 1).await.unwrap();
    let mut world = World::new(name).await;
    world.target("a", &target().await.kubeconfig()).await;
    world.apply("IntegrationType", TYPE, kind.spec(name)).await.unwrap();
    world.start_operator(&[]).await;
    let spec = json!({ "type": TYPE, "targetClusters": ["a"], "config": config });
    world.integration("portal", spec).await;
    world
}

async fn the_target(world: &World) -> IntegrationTarget {
    world.targets().await.remove(0)
}

/// Total, failing, progressing and suspended objects in the status of the target, once they are these.
async fn until_counts(world: &World, expected: [u64; 4]) -> Value {
    let counts = async || {
        let found = the_target(world).await;
        let status = serde_json::to_value(found.status).unwrap();
        let resources = status["integrations"][0]["resources"][0].clone();
        let counts = ["total", "failing", "progressing", "suspended"].map(|name| resources[name].as_u64());
        (counts == expected.map(Some)).then_some(resources)
    };
    eventually(&format!("counts of {expected:?}"), counts).await
}

#[tokio::test]
async fn managed_objects_are_counted_and_judged_as_they_change() {
    let _validation = with_validation().await;
    let kind = Kind::new("managed-life").await;
    let world = world("managed-life", &kind, json!({ "failWhen.Portal": "2" })).await;
    world.until_phase("portal", "Running").await;

    // The kind appears later, and in the older version only.
    kind.define().await;
    let ready = |status: &str, reason: &str| {
        json!({ "message": "secret-of-the-cluster", "conditions": [{ "type": "Ready", "status": status,
            "reason": reason, "message": "secret-of-the-cluster", "lastTransitionTime": "2026-01-02T03:04:05Z" }] })
    };
    kind.create("managed-life", "good", ready("True", "Built")).await;
    let counts = until_counts(&world, [1, 0, 0, 0]).await;
    assert_eq!(counts["kind"], "Portal");

    kind.create("managed-life", "bad", ready("False", "BuildFailed")).await;
    let counts = until_counts(&world, [2, 1, 0, 0]).await;
    let bad = json!({ "namespace": "managed-life", "name": "bad", "reason": "BuildFailed",
        "since": "2026-01-02T03:04:05Z" });
    assert_eq!(counts["worst"], json!([bad]));
    let degraded = world.until_phase("portal", "Degraded").await;
    let message = degraded.status.as_ref().and_then(|status| status.full_message()).unwrap();
    assert!(message.contains("1 Portal failing: managed-life/bad (BuildFailed)"), "{message}");

    let broken = json!({ "phase": "Broken", "message": "secret-of-the-cluster" });
    kind.set_status("managed-life", "good", broken).await;
    let failed = world.until_phase("portal", "Failed").await;
    let message = failed.status.as_ref().and_then(|status| status.full_message()).unwrap();
    assert!(message.contains("2 Portal failing") && message.contains("managed-life/good (Broken)"), "{message}");
    let totals = serde_json::to_value(failed.status.unwrap()).unwrap()["resources"][0].clone();
    assert_eq!((&totals["failing"], &totals["clustersFailing"]), (&json!(2), &json!(1)));
    let metrics = world.http_get("/metrics").await;
    for series in [
        r#"ksit_integration_resources{integration="portal",kind="Portal",namespace="managed-life",state="failing",type="backstage.example.com"} 2"#,
        r#"ksit_tool_resources_failing{namespace="managed-life",target="a",cluster="a",integration="portal",type="backstage.example.com",kind="Portal"} 2"#,
    ] {
        assert!(metrics.contains(series), "{series} in {metrics}");
    }
    for text in [serde_json::to_string(&the_target(&world).await).unwrap(), metrics, world.log()] {
        assert!(!text.contains("secret-of-the-cluster"), "{text}");
    }

    let patch = Patch::Merge(json!({ "spec": { "suspend": true } }));
    kind.api("managed-life").patch("good", &PatchParams::default(), &patch).await.unwrap();
    world.until_phase("portal", "Degraded").await;
    kind.set_status("managed-life", "bad", ready("True", "Built")).await;
    world.until_phase("portal", "Running").await;
    until_counts(&world, [2, 0, 0, 1]).await;

    // The kind goes.
    let crds: Api<CustomResourceDefinition> = Api::all(kind.client.clone());
    crds.delete(&format!("portals.{}", kind.group), &Default::default()).await.unwrap();
    let none = async || {
        let status = serde_json::to_value(the_target(&world).await.status).unwrap();
        status["integrations"][0].get("resources").is_none().then_some(())
    };
    eventually("the counts to go with the kind", none).await;
}
