//! `spec.access.clusterProfile`: server, CA and cloud come from a ClusterProfile on the hub, and follow its changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use serde_json::{Value, json};
use testkit::ControlPlane;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::kit::{World, condition, hub, with_validation};
use crate::own_identity::bind;

const NAMESPACE: &str = "cluster-profile";

/// The fields of the Cluster Inventory API (v1alpha1) that ksit reads, with their types, as its CRD has them:
/// <https://github.com/kubernetes-sigs/cluster-inventory-api>. Others are pruned, as by that one.
async fn install_crd() {
    let text = || json!({ "type": "string" });
    let object = |properties: Value| json!({ "type": "object", "properties": properties });
    let list = |items: Value| json!({ "type": "array", "items": items });
    let extension = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let extensions = list(object(json!({ "name": text(), "extension": extension })));
    let cluster = object(json!({ "server": text(), "tls-server-name": text(), "proxy-url": text(),
        "certificate-authority-data": { "type": "string", "format": "byte" },
        "insecure-skip-tls-verify": { "type": "boolean" }, "extensions": extensions }));
    let providers = list(object(json!({ "name": text(), "cluster": cluster })));
    let spec = object(json!({ "displayName": text(), "clusterManager": object(json!({ "name": text() })) }));
    let status = object(json!({ "accessProviders": providers, "credentialProviders": providers }));
    let version = json!({ "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
        "schema": { "openAPIV3Schema": object(json!({ "spec": spec, "status": status })) } });
    let crd = json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "clusterprofiles.multicluster.x-k8s.io",
            "annotations": { "api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/4322" } },
        "spec": { "group": "multicluster.x-k8s.io", "scope": "Namespaced", "versions": [version],
            "names": { "kind": "ClusterProfile", "plural": "clusterprofiles", "singular": "clusterprofile" } } });
    let api: Api<CustomResourceDefinition> = Api::all(hub().await.client().await.unwrap());
    let name = "clusterprofiles.multicluster.x-k8s.io";
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(crd)).await.unwrap();
    await_condition(api, name, is_crd_established()).await.unwrap();
}

/// A FAKE metadata server of Google Cloud, whose token is one of the cluster itself.
async fn metadata_server(token: String, tasks: &mut JoinSet<()>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tasks.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let body = json!({ "access_token": token, "expires_in": 3600, "token_type": "Bearer" }).to_string();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    address
}

/// Writes the profile as its cluster manager does.
async fn set_providers(world: &World, providers: Value) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("multicluster.x-k8s.io", "v1alpha1", "ClusterProfile"));
    let api: Api<DynamicObject> = Api::namespaced_with(world.client.clone(), NAMESPACE, &resource);
    let profile = json!({ "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
        "metadata": { "name": "eu-1" }, "spec": { "displayName": "eu-1", "clusterManager": { "name": "manager" } } });
    let params = PatchParams::apply("manager").force();
    api.patch("eu-1", &params, &Patch::Apply(profile)).await.unwrap();
    let status = json!({ "status": { "accessProviders": providers } });
    api.patch_status("eu-1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn until_told(world: &World, name: &str, reason: &str, words: &str) {
    world
        .until_target(name, |target| {
            condition(target, "Reachable").is_some_and(|told| told.reason == reason && told.message.contains(words))
        })
        .await;
}

#[tokio::test]
async fn cluster_profile_is_followed() {
    let _validation = with_validation().await;
    install_crd().await;
    let (mut world, mut tasks) = (World::new(NAMESPACE).await, JoinSet::new());
    let plane = ControlPlane::builder("profiled").start().await.unwrap();
    let token = plane.service_account_token("default", "gke").await.unwrap();
    bind(&plane, "gke", "cluster-admin", json!({ "kind": "ServiceAccount", "name": "gke", "namespace": "default" }))
        .await;
    let metadata = metadata_server(token, &mut tasks).await;
    let access = |name: &str, namespace: Option<&str>| {
        let profile = json!({ "name": name, "namespace": namespace.unwrap_or(NAMESPACE) });
        json!({ "clusterName": "one", "access": { "clusterProfile": profile } })
    };
    world.apply("IntegrationTarget", "one", access("eu-1", None)).await.unwrap();
    world.apply("IntegrationTarget", "elsewhere", access("eu-1", Some("default"))).await.unwrap();
    let both =
        json!({ "clusterName": "x", "access": { "server": "https://a.example", "clusterProfile": { "name": "a" } } });
    let refused = world.apply("IntegrationTarget", "both", both).await.unwrap_err().to_string();
    assert!(refused.contains("except with clusterProfile"), "{refused}");

    let trusted = format!("--access-namespaces={NAMESPACE}");
    world.start_operator_with_env("GCE_METADATA_HOST", &metadata, &[&trusted]).await;
    until_told(&world, "one", "AccessRefused", "set --cluster-profiles of the operator").await;
    world.take_operator().stop(std::time::Duration::from_secs(30)).await.unwrap();

    world.start_operator_with_env("GCE_METADATA_HOST", &metadata, &[&trusted, "--cluster-profiles"]).await;
    until_told(&world, "elsewhere", "AccessRefused", "clusterProfile.namespace default is not accepted").await;
    until_told(&world, "one", "Unreachable", "ClusterProfile cluster-profile/eu-1 does not exist").await;
    let cluster =
        |server: &str| json!({ "server": server, "certificate-authority-data": STANDARD.encode(plane.ca_pem()) });
    set_providers(&world, json!([{ "name": "secretreader", "cluster": cluster(&plane.url()) }])).await;
    until_told(&world, "one", "AccessRefused", "it has secretreader").await;
    set_providers(&world, json!([{ "name": "google", "cluster": cluster(&plane.url()) }])).await;
    world.until_reach("one", "Connected").await;
    set_providers(&world, json!([{ "name": "google", "cluster": cluster("https://127.0.0.1:1") }])).await;
    until_told(&world, "one", "Unreachable", "127.0.0.1:1").await;
    set_providers(&world, json!([{ "name": "google", "cluster": cluster(&plane.url()) }])).await;
    world.until_reach("one", "Connected").await;
    assert!(!world.everything_shown().await.contains("eyJ"), "a JWT begins so");
}
