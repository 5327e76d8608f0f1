//! Objects on the hub as large as the CRDs admit them, and objects whose status somebody edited.

use std::time::Duration;

use serde_json::json;

use super::HostileFleet;

const CLUSTERS: u32 = 40;

const LASTS: Duration = Duration::from_secs(20);

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
    fleet.endures("40 Integrations of 100 components", &truth, LASTS).await;
    let target = fleet
        .world
        .until_target("c0", |target| target.status.as_ref().is_some_and(|status| status.integrations.len() == 41));
    let status = target.await.status.unwrap();
    assert!(status.components_omitted.is_some_and(|omitted| omitted > 3_000), "{:?}", status.components_omitted);
    assert!(serde_json::to_vec(&status).unwrap().len() < 1 << 20);
}
