//! The reason of Pods in the message about their workload, and only while something is wrong.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use ksit::api::Integration;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::workloads::Workloads;

use crate::kit::{World, target};

const NAMESPACE: &str = "pod-reasons";

async fn set_ready(ready: u32) {
    let api: Api<Deployment> = Api::namespaced(target().await.client().await.unwrap(), NAMESPACE);
    let status = json!({ "status": { "availableReplicas": ready, "readyReplicas": ready } });
    api.patch_status("web", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn pod_that_crashes() {
    // No controller makes it here.
    let accounts: Api<ServiceAccount> = Api::namespaced(target().await.client().await.unwrap(), NAMESPACE);
    let account: ServiceAccount = serde_json::from_value(json!({ "metadata": { "name": "default" } })).unwrap();
    accounts.create(&Default::default(), &account).await.unwrap();
    let api: Api<Pod> = Api::namespaced(target().await.client().await.unwrap(), NAMESPACE);
    let pod: Pod = serde_json::from_value(json!({
        "metadata": { "name": "web-1", "labels": { "app.kubernetes.io/instance": "web" } },
        "spec": { "containers": [{ "name": "app", "image": "registry.k8s.io/pause:3.10" }] },
    }))
    .unwrap();
    api.create(&Default::default(), &pod).await.unwrap();
    let waiting = json!({ "reason": "CrashLoopBackOff", "message": "back-off: hunter2" });
    let container = json!({ "name": "app", "image": "a", "imageID": "a", "ready": false, "restartCount": 7,
        "state": { "waiting": waiting } });
    let status: Value = json!({ "status": { "containerStatuses": [container] } });
    api.patch_status("web-1", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

fn says(words: &str) -> impl Fn(&Integration) -> bool {
    move |integration| {
        let status = integration.status.as_ref();
        status.and_then(|status| status.full_message()).is_some_and(|message| message.contains(words))
    }
}

#[tokio::test]
async fn reason_of_the_pods_is_shown_while_their_workload_is_broken() {
    let plane = target().await;
    let workloads = Workloads::new(plane.client().await.unwrap());
    workloads.namespace(NAMESPACE).await.unwrap();
    workloads.workload("Deployment", NAMESPACE, "web", &BTreeMap::new(), 2).await.unwrap();
    pod_that_crashes().await;
    let mut world = World::new(NAMESPACE).await;
    world.target("a", &plane.kubeconfig_of("pod-reader", Some("system:masters")).unwrap()).await;
    let component = json!({ "kind": "Deployment", "name": "web", "namespace": NAMESPACE });
    let spec = json!({ "type": "custom", "targetClusters": ["a"], "components": [component] });
    world.integration("web", spec).await;
    world.start_operator(&["--interval=1s"]).await;
    world.until_phase("web", "Running").await;
    let pod_lists = || {
        let events = plane.audit().begun_by("pod-reader").unwrap();
        events.iter().filter(|event| event.request_uri.contains("/pods?")).count()
    };
    assert_eq!(pod_lists(), 0, "a healthy workload costs no list of Pods");

    set_ready(0).await;
    let broken = world.until_integration("web", says("(CrashLoopBackOff in container app)")).await;
    let shown = serde_json::to_string(&broken).unwrap() + &world.everything_shown().await;
    assert!(!shown.contains("hunter2"), "{shown}");

    set_ready(2).await;
    world.until_phase("web", "Running").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let before = pod_lists();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert_eq!(pod_lists(), before, "no list of Pods after the mend");
}
