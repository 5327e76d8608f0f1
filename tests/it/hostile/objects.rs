//! Very large objects on the hub, and objects with an edited status.

use std::time::Duration;

use kube::api::{DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use simulator::{Health, Kind};

use super::HostileFleet;
use crate::kit::eventually;

const CLUSTERS: u32 = 40;

const FAULT_DURATION: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a2_many_integrations_of_one_cluster_harm_no_other() {
    let mut fleet = HostileFleet::start("hostile-integrations", CLUSTERS).await;
    let truth = fleet.check_truth(1..CLUSTERS).await;
    let component =
        |number: u32| json!({ "kind": "Deployment", "name": format!("{number:0>247}"), "namespace": "argocd" });
    let components: Vec<_> = (0..100).map(component).collect();
    for number in 0..40 {
        let spec = json!({ "type": "custom", "targetClusters": ["c0"], "components": components });
        fleet.world.integration(&format!("many-{number}"), spec).await;
    }
    fleet.assert_endures("40 Integrations of 100 components", &truth, FAULT_DURATION).await;
    let target = fleet
        .world
        .until_target("c0", |target| target.status.as_ref().is_some_and(|status| status.integrations.len() == 41));
    let status = target.await.status.unwrap();
    assert!(status.components_omitted.is_some_and(|omitted| omitted > 3_000), "{:?}", status.components_omitted);
    assert!(serde_json::to_vec(&status).unwrap().len() < 1 << 20);
}

/// Edits that a person may make to a status: extreme numbers, texts of any length, empty lists.
fn edits() -> Vec<(&'static str, Value)> {
    let numbers =
        [json!(0), json!(1), json!(5_000_000), json!(9_007_199_254_740_991_i64), json!(i64::MAX), json!(i64::MIN)];
    let texts = [
        json!(""),
        json!("x".repeat(100_000)),
        json!("\u{1b}[2J\u{202e}"),
        json!("other/ksit"),
        json!("2999-01-01T00:00:00Z"),
    ];
    let number_fields = ["coordinatorTerm", "reportEpoch", "observedGeneration", "componentsOmitted"];
    let text_fields =
        ["message", "healthy", "server", "managedBy", "reportedBy", "lastSyncTime", "secretResourceVersion", "phase"];
    let numbers = number_fields.into_iter().flat_map(|field| numbers.clone().map(|value| (field, value)));
    let texts = text_fields.into_iter().flat_map(|field| texts.clone().map(|value| (field, value)));
    let lists = ["conditions", "integrations", "clusters"].map(|field| (field, json!([])));
    numbers.chain(texts).chain(lists).collect()
}

/// Returns whether the edit was accepted; the CRD may refuse it.
async fn edit_status(fleet: &HostileFleet, kind: &str, name: &str, field: &str, value: Value) -> bool {
    let patch = Patch::Merge(json!({ "status": { field: value } }));
    fleet.world.api(kind).patch_status(name, &PatchParams::default(), &patch).await.is_ok()
}

/// A user with the right to write statuses sets each field in turn. The fence is removed, as it would refuse them all.
#[tokio::test]
async fn a4_edited_status_stops_no_other() {
    let mut fleet = HostileFleet::start("hostile-statuses", CLUSTERS).await;
    fleet.replicas.take_fence_off().await.unwrap();
    let truth = fleet.check_truth(1..CLUSTERS).await;
    let mut accepted = 0;
    for (field, value) in edits() {
        accepted += u32::from(edit_status(&fleet, "IntegrationTarget", "c0", field, value.clone()).await);
        accepted += u32::from(edit_status(&fleet, "Integration", "argocd", field, value).await);
    }
    assert!(accepted > 20, "{accepted} edits were accepted");
    fleet.assert_endures("edited statuses", &truth, FAULT_DURATION).await;
    // The edited objects recover too.
    eventually("the edited status to be repaired", async || {
        let target: DynamicObject = fleet.world.api("IntegrationTarget").get("c0").await.unwrap();
        let status = &target.data["status"];
        let tools = status["integrations"].as_array().map(Vec::len);
        let is_right = status["phase"] == "Running" && status["ready"] == true && tools == Some(1);
        (is_right && status["componentsOmitted"].is_null() && status["conditions"][0]["type"] == "Ready").then_some(())
    })
    .await;

    // A term just above the present one is the worst edit: to the CRD it is a newer coordinator's.
    let term = fleet.term().await;
    assert!(edit_status(&fleet, "IntegrationTarget", "c0", "coordinatorTerm", json!(term + 500)).await);
    fleet.assert_endures("term a little too high", &truth, FAULT_DURATION).await;
    // The next coordinator claims above it.
    let leader = fleet.coordinator().await;
    fleet.replicas.kill(leader);
    fleet.replicas.start(leader).await.unwrap();
    let server = fleet.simulator.component(Kind::Deployment, "argocd", "argocd-server").unwrap();
    fleet.simulator.set(0, server, Health::Broken);
    eventually("the next coordinator to write it", async || {
        let target: DynamicObject = fleet.world.api("IntegrationTarget").get("c0").await.unwrap();
        let status = &target.data["status"];
        (status["phase"] == "Failed" && status["coordinatorTerm"].as_i64() > Some(term + 500)).then_some(())
    })
    .await;
}

/// Only ksit may write objects that ksit manages, whatever the rights of others.
#[tokio::test]
async fn a4_fence_refuses_everybody_else() {
    let fleet = HostileFleet::start("hostile-fence", 3).await;
    fleet.check_truth(0..3).await;
    let term = fleet.term().await;
    let write = async |status: &Value| {
        let patch = Patch::Merge(json!({ "status": status }));
        fleet.world.api("IntegrationTarget").patch_status("c0", &PatchParams::default(), &patch).await
    };
    // The API server resolves the ShardMap as the parameter of a new policy after up to 30 s.
    eventually("the fence to be in force", async || write(&json!({ "message": "too soon" })).await.err().map(drop))
        .await;
    for status in [
        json!({ "coordinatorTerm": term + 1 }),
        json!({ "coordinatorTerm": i64::MAX >> 10, "managedBy": "other/ksit" }),
        json!({ "message": "all is well" }),
        json!({ "managedBy": null }),
    ] {
        let refused = write(&status).await.unwrap_err().to_string();
        assert!(refused.contains("ksit-fence") && refused.contains("only ksit may write"), "{status}: {refused}");
    }
}
