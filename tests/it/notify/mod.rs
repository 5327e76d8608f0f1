//! Notifications and maintenance windows, by an operator on a real API server.

mod alertmanager;
mod chat;
mod command;
mod failover;
mod receiver;
mod refused;
mod upgrade;
mod webhook;
mod windows;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::workloads::Workloads;

use crate::kit::{World, eventually, install_flux, target};

/// Many targets that all point at the shared cluster, and Flux on it in the test's own namespace.
struct Clusters {
    world: World,
    workloads: Workloads,
}

impl Clusters {
    /// An operator checks them; nothing is broken.
    async fn new(namespace: &str, count: usize) -> Self {
        let workloads = install_flux(namespace).await;
        let world = World::new(namespace).await;
        world.secret("shared", json!({ "kubeconfig": target().await.kubeconfig() })).await;
        for number in 0..count {
            let spec = json!({ "clusterName": format!("c{number:03}"), "labels": { "number": number.to_string() },
                "kubeconfigSecretRef": { "name": "shared" } });
            world.apply("IntegrationTarget", &format!("c{number:03}"), spec).await.unwrap();
        }
        let spec = json!({ "type": "flux", "config": { "namespace": namespace }, "targetSelector": {} });
        world.integration("flux", spec).await;
        let mut clusters = Self { world, workloads };
        clusters.start_operator().await;
        clusters.until_failed(0).await;
        clusters
    }

    async fn start_operator(&mut self) {
        self.world.start_operator(&["--lease-duration=5s", "--lease-renew-interval=1s", "--target-metrics"]).await;
    }

    /// Ends the operator as `kill -9` does.
    async fn kill_operator(&mut self) {
        let mut operator = self.world.take_operator();
        operator.signal(nix::sys::signal::Signal::SIGKILL).unwrap();
        crate::kit::until_ended(&mut operator).await;
    }

    async fn break_flux(&self) {
        self.workloads.scale("Deployment", &self.world.namespace, "source-controller", 0).await.unwrap();
    }

    async fn mend_flux(&self) {
        self.workloads.scale("Deployment", &self.world.namespace, "source-controller", 1).await.unwrap();
    }

    /// Waits until this many targets are Failed, and the others Running.
    async fn until_failed(&self, count: usize) {
        let targets = self.world.api("IntegrationTarget");
        eventually(&format!("{count} targets to be Failed"), async || {
            let all = targets.list(&Default::default()).await.unwrap().items;
            let are = |phase: &str| all.iter().filter(|object| object.data["status"]["phase"] == phase).count();
            (are("Failed") == count && are("Running") == all.len() - count).then_some(())
        })
        .await;
    }

    /// A Secret that Notifiers may use.
    async fn notifier_secret(&self, name: &str, data: Value) {
        let api: Api<Secret> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        let secret = json!({ "apiVersion": "v1", "kind": "Secret", "type": "ksit.io/notifier",
            "metadata": { "name": name }, "stringData": data });
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret)).await.unwrap();
    }

    /// A Notifier without pauses.
    async fn notifier(&self, name: &str, receiver: Value) {
        let mut spec = json!({ "after": "0s", "recoveredAfter": "0s" });
        spec.as_object_mut().unwrap().extend(receiver.as_object().unwrap().clone());
        self.world.apply("Notifier", name, spec).await.unwrap();
    }

    /// The Notifier, once it satisfies `wanted`.
    async fn until_notifier(&self, name: &str, wanted: impl Fn(&Value) -> bool) -> DynamicObject {
        let api = self.world.api("Notifier");
        let look = eventually(name, async || api.get(name).await.ok().filter(|object| wanted(&object.data["status"])));
        match tokio::time::timeout(std::time::Duration::from_secs(50), look).await {
            Ok(found) => found,
            Err(_) => panic!("{:#?}\n{}", api.get(name).await.unwrap().data, self.world.log()),
        }
    }
}

/// The condition of a status, as status, reason and message.
fn condition(status: &Value, kind: &str) -> Option<(String, String, String)> {
    let found = status["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("reason"), text("message")))
}
