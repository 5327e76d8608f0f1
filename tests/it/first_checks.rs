//! Replicas die during the first check of a target: it becomes a suspect, and then quarantined.

use std::path::Path;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::json;
use testkit::installation::Installation;

use crate::faults::{Fault, FaultyApiServer};
use crate::kit::{World, eventually, hub, install_flux, target};

const NAMESPACE: &str = "first-checks";
const FLAGS: [&str; 4] = ["--interval=10s", "--round-timeout=60s", "--lease-duration=5s", "--lease-renew-interval=1s"];

/// The first-check marks on a replica's Lease.
async fn marks(world: &World, ordinal: u32) -> Vec<String> {
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), NAMESPACE);
    let lease = leases.get_opt(&format!("ksit-{ordinal}")).await.unwrap();
    let text = lease.and_then(|lease| lease.annotations().get("ksit.io/first-checks").cloned());
    text.unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

async fn until_in_check(world: &World, name: &str) -> u32 {
    let mark = format!("{NAMESPACE}/{name}");
    let what = format!("{name} to be in its first check");
    eventually(&what, async || {
        for ordinal in 0..2 {
            if marks(world, ordinal).await.contains(&mark) {
                return Some(ordinal);
            }
        }
        None
    })
    .await
}

#[tokio::test]
async fn target_at_which_two_replicas_died_is_quarantined() {
    install_flux(NAMESPACE).await;
    let world = World::new(NAMESPACE).await;
    // Stands in for a target whose answers kill a replica: the test kills replicas while they wait for an answer.
    let poison = FaultyApiServer::start(Fault::NeverAnswer).await;
    world.target("poison", &poison.kubeconfig()).await;
    world.target("healthy", &target().await.kubeconfig()).await;
    let everywhere = json!({ "type": "flux", "targetSelector": {}, "config": { "namespace": NAMESPACE } });
    world.integration("flux", everywhere).await;
    let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
    let mut replicas = Installation::new(hub().await, ksit, NAMESPACE, &FLAGS).await.unwrap();
    replicas.want(2).await.unwrap();
    for ordinal in 0..2 {
        replicas.start(ordinal).await.unwrap();
    }
    world.until_reach("healthy", "Connected").await;

    // The first death: the other replica takes the target over, and reads it as a suspect.
    let first = until_in_check(&world, "poison").await;
    eventually("a connection to it", async || (poison.connections() > 0).then_some(())).await;
    replicas.kill(first);
    let connections_of_first = poison.connections();
    let second = 1 - first;
    let taken_over = format!("{NAMESPACE}/poison");
    eventually("the other replica to read it", async || {
        let is_read = poison.connections() > connections_of_first && marks(&world, second).await.contains(&taken_over);
        is_read.then_some(())
    })
    .await;

    // The second death: no replica reads the target any more.
    replicas.kill(second);
    let connections = poison.connections();
    for ordinal in 0..2 {
        replicas.start(ordinal).await.unwrap();
    }
    let left_alone = world.until_reach("poison", "Quarantined").await;
    assert_eq!(left_alone.status.unwrap().phase.as_deref(), Some("Failed"));
    assert_eq!(poison.connections(), connections);
    let died = |marks: Vec<String>| marks.iter().any(|mark| mark.starts_with(&format!("{NAMESPACE}/poison=")));
    assert!(died(marks(&world, 0).await) && died(marks(&world, 1).await), "both Leases keep the mark");
    let healthy = world.until_reach("healthy", "Connected").await;
    assert_eq!(healthy.status.unwrap().phase.as_deref(), Some("Running"));
    let at_rest = eventually("no target to be in its first check", async || {
        let marks = [marks(&world, 0).await, marks(&world, 1).await].concat();
        marks.iter().all(|mark| mark.contains('=')).then_some(marks)
    });
    assert_eq!(at_rest.await.len(), 2);
}
