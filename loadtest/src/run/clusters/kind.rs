//! A target that is a whole cluster: controllers, a node, Pods. The Pods have a readiness gate that the load test sets;
//! kubelet and controllers propagate it like a failing probe.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use simulator::{Component, ComponentId, Health, Kind, Manifest, manifests};
use testkit::kind::KindCluster;
use tokio::time::{Instant, sleep};

use super::install;
use crate::run::RunError;

/// Condition type of the readiness gate.
const GATE: &str = "loadtest/well";

/// Label by which workloads and Services select their Pods.
const NAME: &str = "app.kubernetes.io/name";

/// Time limit for all Pods to run, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(300);

pub struct KindTarget {
    cluster: KindCluster,
    client: Client,
    components: Vec<Component>,
}

impl KindTarget {
    pub(super) async fn start(number: u32) -> Result<Self, RunError> {
        let cluster = KindCluster::create(&format!("ksit-load-{number}")).await?;
        let client = cluster.client().await?;
        let image = pause(&client).await?;
        // EndpointSlices are created by the controllers.
        let mut all: Vec<Manifest> =
            manifests().into_iter().filter(|manifest| manifest.component.kind != Kind::EndpointSlice).collect();
        all.iter_mut().for_each(|manifest| make_real(manifest, &image));
        install(&client, &all).await?;
        let target = Self { cluster, client, components: all.iter().map(|manifest| manifest.component).collect() };
        let workloads = all.iter().filter(|manifest| manifest.component.kind.is_workload()).count();
        target.make_ready(workloads).await?;
        Ok(target)
    }

    pub(super) fn kubeconfig(&self) -> Result<String, RunError> {
        self.cluster.kubeconfig()
    }

    pub(super) async fn set(&self, id: ComponentId, health: Health) -> Result<(), RunError> {
        let component = self.components.iter().find(|component| component.id == id);
        let component = component.ok_or("no such component on the targets")?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), component.namespace);
        for pod in pods.list(&ListParams::default().labels(&format!("{NAME}={}", component.name))).await? {
            set_gate(&pods, &pod, health == Health::Healthy).await?;
        }
        Ok(())
    }

    /// Opens the gate of each new Pod until `workloads` Pods are ready.
    async fn make_ready(&self, workloads: usize) -> Result<(), RunError> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let ours = ListParams::default().labels(NAME);
        let start = Instant::now();
        loop {
            let all = pods.list(&ours).await?;
            let has = |pod: &Pod, condition: &str| {
                let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
                conditions.into_iter().flatten().any(|found| found.type_ == condition && found.status == "True")
            };
            for pod in all.iter().filter(|pod| !has(pod, GATE)) {
                let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
                set_gate(&Api::namespaced(self.client.clone(), namespace), pod, true).await?;
            }
            let ready = all.iter().filter(|pod| has(pod, "Ready")).count();
            if ready == workloads {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{}: {ready} of {workloads} Pods are ready", self.cluster.name()).into());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

async fn set_gate(pods: &Api<Pod>, pod: &Pod, ready: bool) -> Result<(), RunError> {
    let status = if ready { "True" } else { "False" };
    let patch = json!({ "status": { "conditions": [{ "type": GATE, "status": status }] } });
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    pods.patch_status(name, &PatchParams::default(), &Patch::Strategic(patch)).await?;
    Ok(())
}

/// The pause image, which every node has because it holds each Pod's network namespace.
async fn pause(client: &Client) -> Result<String, RunError> {
    let nodes: Api<Node> = Api::all(client.clone());
    for node in nodes.list(&ListParams::default()).await? {
        let images = node.status.and_then(|status| status.images).unwrap_or_default();
        let mut names = images.into_iter().filter_map(|image| image.names).flatten();
        if let Some(name) = names.find(|name| name.contains("/pause:")) {
            return Ok(name);
        }
    }
    Err("the node has no pause image to run Pods from".into())
}

/// Replaces the Pod template of a workload by one that a node can run.
fn make_real(manifest: &mut Manifest, image: &str) {
    if manifest.component.kind.is_workload() {
        let template = &mut manifest.healthy["spec"]["template"];
        *template = json!({ "metadata": { "labels": { NAME: manifest.component.name } }, "spec": pod(image) });
    }
}

fn pod(image: &str) -> Value {
    json!({
        "readinessGates": [{ "conditionType": GATE }],
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": false,
        "containers": [{ "name": "app", "image": image, "imagePullPolicy": "Never" }],
    })
}
