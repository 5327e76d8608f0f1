//! Tests real control planes: workloads and audit log. `loadtest/xtask/tests/control_plane.rs` tests their cleanup.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should say where")]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::ControlPlane;
use testkit::workloads::Workloads;

const PATIENCE: Duration = Duration::from_secs(90);

async fn eventually(what: &str, look: impl AsyncFn() -> bool) {
    let start = Instant::now();
    while !look().await {
        assert!(start.elapsed() < PATIENCE, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn pods_become_ready_and_scale() {
    let plane = ControlPlane::builder("pods").with_workloads().start().await.unwrap();
    let client = plane.client().await.unwrap();
    let labels = json!({ "app": "web" });
    let deployment = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels },
        "spec": { "containers": [{ "name": "app", "image": "registry.k8s.io/pause:3.10" }] } } } });
    let deployments: Api<Deployment> = Api::default_namespaced(client.clone());
    deployments.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "web" },
        "spec": { "selector": labels, "ports": [{ "port": 80 }] } });
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::default_namespaced(client.clone());
    services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();

    let ready = async || deployments.get("web").await.unwrap().status.and_then(|status| status.available_replicas);
    eventually("two Pods are ready", async || ready().await == Some(2)).await;
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    eventually("two endpoints are ready", async || {
        let all = slices.list(&Default::default()).await.unwrap();
        all.items.iter().filter(|slice| slice.metadata.name.as_ref().is_some_and(|name| name.starts_with("web-"))).any(
            |slice| {
                slice
                    .endpoints
                    .iter()
                    .flatten()
                    .filter(|e| e.conditions.as_ref().is_some_and(|c| c.ready == Some(true)))
                    .count()
                    == 2
            },
        )
    })
    .await;
    let none = Patch::Merge(json!({ "spec": { "replicas": 0 } }));
    deployments.patch("web", &PatchParams::default(), &none).await.unwrap();
    eventually("no Pod is left", async || ready().await.unwrap_or(0) == 0).await;
}

#[tokio::test]
async fn audit_log_has_requests_and_api_server_restarts() {
    let mut plane = ControlPlane::builder("audit").start().await.unwrap();
    let mark = plane.audit().mark();
    let client = plane.client().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.get("default").await.unwrap();
    let requests = plane.audit().since(mark).unwrap();
    let one = requests.iter().find(|event| event.user.username == "admin").unwrap();
    assert_eq!((one.verb.as_str(), one.request_uri.as_str(), one.code()), ("get", "/api/v1/namespaces/default", 200));

    Workloads::new(client.clone()).namespace("kept").await.unwrap();
    Workloads::new(client.clone()).workload("DaemonSet", "kept", "agent", &BTreeMap::new(), 3).await.unwrap();
    plane.stop_api_server();
    assert!(namespaces.get("kept").await.is_err());
    plane.start_api_server().await.unwrap();
    eventually("the API server answers again", async || namespaces.get("kept").await.is_ok()).await;
}
