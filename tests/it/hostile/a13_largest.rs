//! A user creates hundreds of the largest objects that the CRDs admit.

use std::time::Duration;

use ksit::api::{Integration, IntegrationTarget};
use kube::CustomResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::HostileFleet;
use super::largest::largest_spec;

const CLUSTERS: u32 = 40;

/// Objects of each kind.
const OBJECTS: u32 = 200;

/// Limit of the coordinator's memory with these objects, in MiB.
const MEMORY: u64 = 256;

/// The hub's API server itself needs 0.2 s for each write of such an object, with eight at a time.
const BOUND: Duration = Duration::from_secs(15);

const FAULT_DURATION: Duration = Duration::from_secs(20);

fn schema<K: CustomResourceExt>() -> Value {
    let crd = serde_json::to_value(K::crd()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

/// Their names and selectors match no cluster, so the clusters' own statuses don't change.
fn integrations() -> [Value; 2] {
    // 100,000 characters in all.
    let names: Vec<String> = (0..395).map(|number| format!("{number:0>253}")).collect();
    let common = [
        ("spec.interval", json!("23h59m59s")),
        ("spec.targetClusters", json!(names)),
        ("spec.autoInstall.enabled", json!(false)),
        ("spec.targetSelector.matchExpressions.0.operator", json!("NotIn")),
    ];
    let built_in = [&common[..], &[("spec.type", json!("argocd")), ("spec.components", Value::Null)]].concat();
    let custom = [
        &common[..],
        &[
            ("spec.type", json!("custom")),
            ("spec.config", json!({ "namespace": "n".repeat(63) })),
            ("spec.components.0.kind", json!("Deployment")),
            ("spec.components.0.objectName", Value::Null),
        ],
    ]
    .concat();
    [built_in, custom].map(|fixed| largest_spec(&schema::<Integration>(), &fixed).unwrap())
}

fn target() -> Value {
    let fixed = [
        ("spec.pausedUntil", json!("2999-01-01T00:00:00Z")),
        ("spec.kubeconfigSecretRef", Value::Null),
        ("spec.access.server", json!(format!("https://{}", "h".repeat(2_000)))),
        ("spec.access.eks", Value::Null),
        ("spec.access.gke", Value::Null),
        ("spec.access.aks", Value::Null),
        ("spec.access.clusterProfile", Value::Null),
    ];
    largest_spec(&schema::<IntegrationTarget>(), &fixed).unwrap()
}

#[tokio::test]
async fn a13_largest_objects_fit_and_starve_nobody() {
    let mut fleet = HostileFleet::start("hostile-largest", CLUSTERS).await;
    let truth = fleet.check_truth(0..CLUSTERS).await;
    let (integrations, target) = (integrations(), target());
    let bytes = |value: &Value| value.to_string().len() / 1024;
    println!(
        "largest: Integrations of {:?} KiB, IntegrationTargets of {} KiB",
        integrations.each_ref().map(bytes),
        bytes(&target)
    );
    let term = fleet.term().await;
    for number in 0..OBJECTS {
        let integration = integrations[number as usize % 2].clone();
        fleet.world.apply("Integration", &format!("large-{number}"), integration).await.unwrap();
        fleet.world.apply("IntegrationTarget", &format!("large-{number}"), target.clone()).await.unwrap();
    }
    fleet.assert_endures_within((BOUND, MEMORY), "largest objects", &truth, FAULT_DURATION).await;
    let memory = fleet.memory();
    assert!(memory.values().all(|memory| *memory <= MEMORY), "{memory:?} MiB");
    assert_eq!(fleet.term().await, term);

    // The next coordinator lists them all at once.
    let leader = fleet.coordinator().await;
    fleet.replicas.kill(leader);
    fleet.replicas.start(leader).await.unwrap();
    truth.until_right(super::TIMEOUT).await.unwrap();
    tokio::time::sleep(FAULT_DURATION).await;
    let memory = fleet.memory();
    println!("largest objects, after a change of coordinator: memory {memory:?} MiB");
    assert!(memory.values().all(|memory| *memory <= MEMORY), "{memory:?} MiB");
    for kind in ["Integration", "IntegrationTarget"] {
        fleet.world.api(kind).delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
    }
}
