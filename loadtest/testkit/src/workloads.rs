//! Creates workloads on clusters without controllers, and writes the statuses that controllers would write.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Client, Error};
use serde_json::{Value, json};

const MANAGER: &str = "loadtest";

/// Creates and scales workloads on one cluster.
#[derive(Clone)]
pub struct Workloads {
    client: Client,
}

impl Workloads {
    /// Creates objects with the rights of `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Applies a Namespace.
    ///
    /// # Errors
    /// Fails if the API server refuses the write.
    pub async fn namespace(&self, name: &str) -> Result<(), Error> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
        namespaces.patch(name, &params(), &Patch::Apply(namespace)).await.map(|_| ())
    }

    /// Applies a Deployment, StatefulSet or DaemonSet with all replicas ready.
    ///
    /// # Errors
    /// Fails if the API server refuses a write.
    pub async fn workload(
        &self,
        kind: &str,
        namespace: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
        replicas: u32,
    ) -> Result<(), Error> {
        let app = json!({ "app.kubernetes.io/instance": name });
        let mut spec = json!({
            "selector": { "matchLabels": app },
            "template": {
                "metadata": { "labels": app },
                "spec": { "containers": [{ "name": "app", "image": "registry.k8s.io/pause:3.10" }] },
            },
        });
        if kind != "DaemonSet" {
            spec["replicas"] = json!(replicas);
        }
        if kind == "StatefulSet" {
            spec["serviceName"] = json!(name);
        }
        self.apply("apps", kind, namespace, name, json!({ "metadata": { "labels": labels }, "spec": spec })).await?;
        self.set_ready(kind, namespace, name, replicas).await
    }

    /// Scales a workload and updates its status.
    ///
    /// # Errors
    /// Fails if the workload does not exist or the API server refuses a write.
    pub async fn scale(&self, kind: &str, namespace: &str, name: &str, replicas: u32) -> Result<(), Error> {
        let api = self.api("apps", kind, namespace);
        let patch = json!({ "spec": { "replicas": replicas } });
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.set_ready(kind, namespace, name, replicas).await
    }

    /// Writes the status that a controller would write for `ready` ready replicas.
    ///
    /// # Errors
    /// Fails if the workload does not exist or the API server refuses the write.
    pub async fn set_ready(&self, kind: &str, namespace: &str, name: &str, ready: u32) -> Result<(), Error> {
        let api = self.api("apps", kind, namespace);
        let generation = api.get(name).await?.metadata.generation;
        let status = match kind {
            "DaemonSet" => json!({
                "desiredNumberScheduled": ready, "currentNumberScheduled": ready, "numberReady": ready,
                "numberAvailable": ready, "updatedNumberScheduled": ready, "numberMisscheduled": 0,
                "observedGeneration": generation,
            }),
            _ => json!({
                "replicas": ready, "readyReplicas": ready, "availableReplicas": ready, "updatedReplicas": ready,
                "observedGeneration": generation,
            }),
        };
        let patch = Patch::Merge(json!({ "status": status }));
        api.patch_status(name, &PatchParams::default(), &patch).await.map(|_| ())
    }

    /// Applies a Service with `ready` ready endpoints.
    ///
    /// # Errors
    /// Fails if the API server refuses a write.
    pub async fn service(
        &self,
        namespace: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
        ready: u8,
    ) -> Result<(), Error> {
        let spec =
            json!({ "metadata": { "labels": labels }, "spec": { "clusterIP": "None", "ports": [{ "port": 80 }] } });
        self.apply("", "Service", namespace, name, spec).await?;
        let endpoint = |n: u8| json!({ "addresses": [format!("10.0.0.{n}")], "conditions": { "ready": true } });
        let slice = json!({
            "metadata": { "labels": { "kubernetes.io/service-name": name } },
            "addressType": "IPv4",
            "endpoints": (1..=ready).map(endpoint).collect::<Vec<_>>(),
            "ports": [{ "port": 80 }],
        });
        self.apply("discovery.k8s.io", "EndpointSlice", namespace, &format!("{name}-1"), slice).await
    }

    async fn apply(&self, group: &str, kind: &str, namespace: &str, name: &str, mut body: Value) -> Result<(), Error> {
        let resource = resource(group, kind);
        body["apiVersion"] = json!(resource.api_version);
        body["kind"] = json!(kind);
        body["metadata"]["name"] = json!(name);
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        api.patch(name, &params(), &Patch::Apply(body)).await.map(|_| ())
    }

    fn api(&self, group: &str, kind: &str, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &resource(group, kind))
    }
}

fn params() -> PatchParams {
    PatchParams::apply(MANAGER).force()
}

fn resource(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}
