//! Objects and rights left behind by the Go toolkit keep working.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::kit::{World, eventually, grant, install_flux, target};

const FINALIZER: &str = "ksit.io/finalizer";

/// The toolkit's sample manifests: kinds, names and fields of config/samples, with `autoInstall` turned off.
fn samples() -> Vec<(&'static str, &'static str, Value)> {
    let targets = json!(["cluster-1", "cluster-2"]);
    vec![
        (
            "IntegrationTarget",
            "cluster-1",
            json!({ "clusterName": "cluster-1",
            "labels": { "environment": "production", "region": "us-west" } }),
        ),
        ("IntegrationTarget", "cluster-2", json!({ "clusterName": "cluster-2", "namespace": "default" })),
        (
            "Integration",
            "argocd-integration",
            json!({ "type": "argocd", "enabled": true,
            "targetClusters": ["in-cluster"], "config": { "serverURL": "https://argocd-server.argocd.svc",
            "insecure": "true", "namespace": "argocd", "secretName": "argocd-token", "secretKey": "token" } }),
        ),
        (
            "Integration",
            "argocd-autoinstall",
            json!({ "type": "argocd", "enabled": true, "targetClusters": targets,
            "autoInstall": { "enabled": false, "method": "helm", "helmConfig": { "repository": "https://charts",
            "chart": "argo-cd", "version": "5.51.6", "releaseName": "argocd",
            "values": { "server.service.type": "ClusterIP" } } },
            "config": { "namespace": "argocd", "healthEndpoint": "/healthz" } }),
        ),
        (
            "Integration",
            "flux-autoinstall",
            json!({ "type": "flux", "enabled": true, "targetClusters": targets,
            "autoInstall": { "enabled": false, "manifestUrl": "https://example.com/install.yaml" },
            "config": { "namespace": "flux-system", "interval": "5m" } }),
        ),
        (
            "Integration",
            "prometheus-integration",
            json!({ "type": "prometheus", "enabled": true,
            "targetClusters": ["in-cluster"], "config": { "url": "http://prometheus:9090", "scrapeInterval": "30s",
            "enableAlerts": "true" } }),
        ),
        (
            "Integration",
            "istio-integration",
            json!({ "type": "istio", "enabled": true,
            "targetClusters": ["in-cluster"], "config": { "namespace": "istio-system", "enableMTLS": "true",
            "enableTracing": "true" } }),
        ),
        (
            "Integration",
            "istio-cluster-2",
            json!({ "type": "istio", "enabled": true,
            "targetClusters": ["cluster-2"], "config": { "namespace": "istio-system",
            "healthCheckInterval": "60s" } }),
        ),
    ]
}

#[tokio::test]
async fn takeover_accepts_sample_manifests_unchanged() {
    let mut world = World::new("takeover-samples").await;
    for (kind, name, spec) in samples() {
        world.apply(kind, name, spec).await.unwrap();
    }
    world.start_operator(&[]).await;
    for (kind, name, _) in samples() {
        if kind == "IntegrationTarget" {
            world.until_reach(name, "SecretNotFound").await;
            continue;
        }
        let integration = world.until_phase(name, "Failed").await;
        let status = integration.status.unwrap();
        let accepted = status.conditions.iter().find(|condition| condition.type_ == "Accepted").unwrap();
        assert_eq!(accepted.status, "True", "{name}: {}", accepted.message);
    }
    assert!(!world.log().contains("ERROR"), "{}", world.log());
}

#[tokio::test]
async fn takeover_removes_finalizer_and_adopts_old_status() {
    let mut world = World::new("takeover-stored").await;
    install_flux("takeover-stored").await;
    world.target("one", &target().await.kubeconfig()).await;
    world
        .integration(
            "flux",
            json!({ "type": "flux", "targetClusters": ["one"],
            "config": { "namespace": "takeover-stored" }, "autoInstall": { "enabled": false } }),
        )
        .await;
    let api = world.api("Integration");
    let finalizers = json!({ "metadata": { "finalizers": ["example.com/other", FINALIZER] } });
    api.patch("flux", &PatchParams::default(), &Patch::Merge(finalizers)).await.unwrap();
    let old = json!({ "status": { "phase": "Failed", "message": "Flux namespace flux-system not found",
        "observedGeneration": 1, "conditions": [{ "type": "Ready", "status": "False", "reason": "ReconcileFailed",
        "message": "x", "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
    api.patch_status("flux", &PatchParams::default(), &Patch::Merge(old)).await.unwrap();

    world.start_operator(&[]).await;
    let integration = world.until_phase("flux", "Running").await;
    assert!(integration.status.unwrap().coordinator_term.is_some());
    eventually("the finalizer to go", async || {
        (api.get("flux").await.unwrap().finalizers() == ["example.com/other"]).then_some(())
    })
    .await;
    let none = json!({ "metadata": { "finalizers": [FINALIZER] } });
    api.patch("flux", &PatchParams::default(), &Patch::Merge(none)).await.unwrap();
    api.delete("flux", &Default::default()).await.unwrap();
    eventually("the deletion to end", async || api.get_opt("flux").await.unwrap().is_none().then_some(())).await;
}

/// Only an older CRD accepted `autoInstall.enabled: true`. A condition reports it, and the tool is checked.
#[tokio::test]
async fn takeover_stored_auto_install_sets_a_condition() {
    let mut world = World::new("takeover-install").await;
    install_flux("takeover-install").await;
    world.target("one", &target().await.kubeconfig()).await;
    crate::kit::without_validation(async || {
        world
            .integration(
                "flux",
                json!({ "type": "flux", "targetClusters": ["one"],
                "config": { "namespace": "takeover-install" }, "autoInstall": { "enabled": true } }),
            )
            .await;
    })
    .await;
    world.start_operator(&[]).await;
    let status = world.until_phase("flux", "Running").await.status.unwrap();
    let accepted = status.conditions.iter().find(|condition| condition.type_ == "Accepted").unwrap();
    assert_eq!((accepted.status.as_str(), accepted.reason.as_str()), ("False", "AutoInstallRefused"));
}

/// The toolkit's Role: `get, list` of deployments, services and endpoints in the tool's namespace.
#[tokio::test]
async fn takeover_old_role_shows_what_it_grants() {
    let mut world = World::new("takeover-role").await;
    let workloads = install_flux("takeover-role").await;
    let user = "takeover-role";
    let verbs = json!(["get", "list"]);
    grant(
        user,
        "takeover-role",
        json!([
            { "apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs },
            { "apiGroups": [""], "resources": ["services", "endpoints"], "verbs": verbs },
        ]),
    )
    .await;
    let plane = target().await;
    let labels = Default::default();
    workloads.service("takeover-role", "web", &labels, 0).await.unwrap();
    let endpoints = json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": "web" },
        "subsets": [{ "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "port": 80 }] }] });
    let api: kube::Api<k8s_openapi::api::core::v1::Endpoints> =
        kube::Api::namespaced(plane.client().await.unwrap(), "takeover-role");
    api.create(&PostParams::default(), &serde_json::from_value(endpoints).unwrap()).await.unwrap();

    world.target("one", &plane.kubeconfig_of(user, None).unwrap()).await;
    let config = json!({ "namespace": "takeover-role" });
    world.integration("flux", json!({ "type": "flux", "targetClusters": ["one"], "config": config })).await;
    world
        .integration(
            "web",
            json!({ "type": "custom", "targetClusters": ["one"], "config": config,
            "components": [{ "kind": "Service", "name": "web" }] }),
        )
        .await;
    world
        .integration(
            "db",
            json!({ "type": "custom", "targetClusters": ["one"], "config": config,
            "components": [{ "kind": "StatefulSet", "name": "db" }] }),
        )
        .await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Running").await;
    world.until_phase("web", "Running").await;
    let status = world.until_phase("db", "Failed").await.status.unwrap();
    let message = status.full_message().unwrap();
    let rule = "add to a Role in namespace takeover-role: apiGroups [\"apps\"], resources [\"statefulsets\"], verbs \
        [get, list, watch]";
    assert!(message.contains(rule), "{message}");
    let target = world.until_reach("one", "Connected").await;
    let db = target.status.unwrap().integrations.into_iter().find(|result| result.name == "db").unwrap();
    assert_eq!((db.reason.as_str(), db.components[0].state.as_str()), ("Forbidden", "NotSeen"));
}
