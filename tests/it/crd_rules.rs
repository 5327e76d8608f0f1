//! The API server enforces the rules of the CRDs.

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::kit::{World, with_validation};

fn refusal(result: Result<DynamicObject, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) => format!("{} {}", status.code, status.message),
        other => panic!("accepted, but should have been refused: {other:?}"),
    }
}

#[tokio::test]
async fn crd_refuses_invalid_specs() {
    let world = World::new("crd-specs").await;
    let _strict = with_validation().await;
    let deployment = json!({ "kind": "Deployment", "name": "web" });
    let rows: [(&str, Value, &str); 20] = [
        ("Integration", json!({ "type": "argo" }), "type must be one of argocd, flux, "),
        ("Integration", json!({ "type": "flux", "versions": "" }), "spec.versions"),
        ("Integration", json!({}), "spec.type: Required value"),
        ("Integration", json!({ "type": "custom" }), "type custom needs at least one entry in components"),
        ("Integration", json!({ "type": "custom", "components": [] }), "type custom needs at least one entry"),
        ("Integration", json!({ "type": "flux", "components": [deployment] }), "components is only for type custom"),
        ("Integration", json!({ "type": "custom", "components": [deployment] }), "each component needs a namespace"),
        (
            "Integration",
            json!({ "type": "custom", "components": [{ "kind": "Pod", "name": "x", "namespace": "y" }] }),
            "spec.components[0].kind: Unsupported value: \"Pod\"",
        ),
        (
            "Integration",
            json!({ "type": "custom", "components": [{ "kind": "Deployment", "name": "", "namespace": "y" }] }),
            "spec.components[0].name",
        ),
        ("Integration", json!({ "type": "flux", "targetClusters": [""] }), "spec.targetClusters[0]"),
        ("Integration", json!({ "type": "flux", "interval": "soon" }), "spec.interval"),
        ("Integration", json!({ "type": "flux", "interval": "10ms" }), "interval must be from 1s to 24h"),
        ("Integration", json!({ "type": "flux", "whenAbsent": "Ignore" }), "spec.whenAbsent: Unsupported value"),
        ("Integration", json!({ "type": "flux", "autoInstall": { "enabled": true } }), "ksit only reads clusters"),
        ("Integration", json!({ "type": "flux", "maxUnhealthy": -1 }), "a percentage such as 5%"),
        ("Integration", json!({ "type": "flux", "maxUnhealthy": "101%" }), "a percentage such as 5%"),
        ("Integration", json!({ "type": "flux", "maxUnhealthy": "few" }), "a percentage such as 5%"),
        ("IntegrationTarget", json!({ "clusterName": "" }), "spec.clusterName"),
        ("IntegrationTarget", json!({}), "spec.clusterName: Required value"),
        ("IntegrationTarget", json!({ "clusterName": "c", "pausedUntil": "tomorrow" }), "spec.pausedUntil"),
    ];
    for (kind, spec, words) in rows {
        let message = refusal(world.apply(kind, "bad", spec.clone()).await);
        assert!(message.contains(words), "{spec}: {message}");
    }
}

#[tokio::test]
async fn crd_accepts_every_documented_field() {
    let world = World::new("crd-good").await;
    let _strict = with_validation().await;
    world
        .integration(
            "all",
            json!({
                "type": "custom", "enabled": true, "targetClusters": ["a"], "interval": "1m30s",
                "maxUnhealthy": "5%",
                "targetSelector": { "matchExpressions": [{ "key": "env", "operator": "In", "values": ["prod"] }] },
                "config": { "namespace": "web" }, "whenAbsent": "NotInstalled",
                "components": [
                    { "kind": "Deployment", "name": "web", "optional": true, "minReady": 2 },
                    { "kind": "CustomResourceDefinition", "name": "things.example.com" },
                ],
            }),
        )
        .await;
    let target = json!({ "clusterName": "a", "kubeconfigSecretRef": { "name": "s" }, "paused": true,
        "pausedUntil": "2030-01-31T08:00:00Z" });
    world.apply("IntegrationTarget", "a", target).await.unwrap();
}

/// Old and new replicas run side by side during a rolling upgrade, with the CRDs of one version.
#[tokio::test]
async fn crd_stores_status_of_another_version_unchanged() {
    let world = World::new("crd-words").await;
    let _strict = with_validation().await;
    world.apply("IntegrationTarget", "x", json!({ "clusterName": "c" })).await.unwrap();
    let tool = json!({ "name": "flux", "type": "flux", "phase": "Suspended", "reason": "VersionSkew",
        "components": [{ "kind": "Webhook", "name": "w", "state": "Sleeping" }] });
    let status = json!({ "phase": "Suspended", "coordinatorTerm": 1, "integrations": [tool] });
    let api = world.api("IntegrationTarget");
    let write = async |status: &Value| {
        api.patch_status("x", &PatchParams::default(), &Patch::Merge(json!({ "status": status }))).await
    };
    let stored = write(&status).await.unwrap().data["status"].clone();
    assert_eq!((&stored["phase"], &stored["integrations"]), (&status["phase"], &status["integrations"]));
    for phase in ["", "not a name", "\u{1b}[2J"] {
        let message = refusal(write(&json!({ "phase": phase })).await);
        assert!(message.contains("status.phase"), "{phase:?}: {message}");
    }
}

/// A former coordinator must not overwrite the current one's status by any verb or patch type.
#[tokio::test]
async fn crd_refuses_status_of_a_former_coordinator() {
    let world = World::new("crd-term").await;
    let _strict = with_validation().await;
    for (kind, spec) in
        [("IntegrationTarget", json!({ "clusterName": "c" })), ("Integration", json!({ "type": "flux" }))]
    {
        world.apply(kind, "x", spec).await.unwrap();
        let api = world.api(kind);
        let merge = |status: Value| Patch::Merge(json!({ "status": status }));
        let none = PatchParams::default();
        // A status without a term, as the Go toolkit wrote it, is adopted.
        api.patch_status("x", &none, &merge(json!({ "message": "old" }))).await.unwrap();
        api.patch_status("x", &none, &merge(json!({ "coordinatorTerm": 7, "message": "new" }))).await.unwrap();
        let stale = api.get("x").await.unwrap();
        api.patch_status("x", &none, &merge(json!({ "coordinatorTerm": 8 }))).await.unwrap();

        let fenced = "status.coordinatorTerm must not decrease";
        for status in [json!({ "coordinatorTerm": 7 }), json!({ "coordinatorTerm": null }), Value::Null] {
            let message = refusal(api.patch_status("x", &none, &merge(status.clone())).await);
            assert!(message.contains(fenced), "{kind} {status}: {message}");
        }
        let force = PatchParams::apply("stranger").force();
        let applied = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": kind, "metadata": { "name": "x" },
            "status": { "coordinatorTerm": 3 } });
        let message = refusal(api.patch_status("x", &force, &Patch::Apply(applied)).await);
        assert!(message.contains(fenced), "{kind} apply: {message}");
        let message = refusal(api.replace_status("x", &PostParams::default(), &stale).await);
        assert!(message.starts_with("409 "), "{kind} stale: {message}");
    }
}

#[tokio::test]
async fn crd_shard_map_only_moves_forward() {
    let world = World::new("crd-map").await;
    let _strict = with_validation().await;
    let coordinator = |nonce: &str| json!({ "name": "ksit-0", "podUid": "u", "nonce": nonce });
    let map = |term: i64, epoch: i64, nonce: &str, slots: &str| {
        json!({ "term": term, "epoch": epoch, "coordinator": coordinator(nonce),
            "members": [{ "name": "ksit-0", "podUid": "u", "nonce": "a", "slots": slots }] })
    };
    let api: Api<DynamicObject> = world.api("ShardMap");
    let write = async |spec: Value| world.apply("ShardMap", "map", spec).await;
    write(map(5, 10, "a", "000-3ff")).await.unwrap();
    let stale = api.get("map").await.unwrap();
    write(map(5, 11, "a", "000-1ff")).await.unwrap();

    let rows = [
        (map(4, 12, "a", "000-1ff"), "term must not decrease"),
        (map(1_000_006, 12, "a", "000-1ff"), "term may increase by at most 1000000 at once"),
        (map(9_007_199_254_740_992, 12, "a", "000-1ff"), "spec.term"),
        (map(5, 11, "a", "200-3ff"), "epoch must increase with every change of the map"),
        (map(5, 10, "a", "000-1ff"), "epoch must increase with every change of the map"),
        (map(5, 12, "b", "000-1ff"), "a term has one claimant"),
    ];
    for (spec, words) in rows {
        let message = refusal(write(spec.clone()).await);
        assert!(message.contains(words), "{spec}: {message}");
    }
    let message = refusal(api.replace("map", &PostParams::default(), &stale).await);
    assert!(message.starts_with("409 "), "{message}");
    write(map(6, 12, "b", "200-3ff")).await.unwrap();
    // `ksit fleet` of other tests would count it as an installation.
    api.delete("map", &DeleteParams::default()).await.unwrap();
}
