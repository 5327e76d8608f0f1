//! The controllers of a demo cluster: the status of a workload follows its `spec.replicas`. There are no Pods.

use std::pin::pin;

use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use testkit::workloads::Workloads;

/// Runs until it is dropped.
pub(super) async fn run(client: Client) {
    let workloads = Workloads::new(client.clone());
    tokio::join!(follow(&client, &workloads, "Deployment"), follow(&client, &workloads, "StatefulSet"));
}

async fn follow(client: &Client, workloads: &Workloads, kind: &str) {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", kind));
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let mut changes = pin!(watcher(api, watcher::Config::default()).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        // An error ends when the API server is back.
        let Ok(object) = change else { continue };
        let observed = object.data["status"]["observedGeneration"].as_i64();
        let wanted = object.data["spec"]["replicas"].as_u64().and_then(|replicas| u32::try_from(replicas).ok());
        let (Some(wanted), Some(namespace)) = (wanted, object.namespace()) else { continue };
        if observed != object.metadata.generation {
            // A conflict or a deletion brings another change.
            let _ = workloads.set_ready(kind, &namespace, &object.name_any(), wanted).await;
        }
    }
}
