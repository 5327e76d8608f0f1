//! Sets up the fleet of a run: hub, clusters, replicas.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::installation::{Installation, install_crds};
use testkit::resources::{api, object};
use testkit::usage::open_many_files;
use testkit::workloads::Workloads;
use tokio::time::Instant;

use super::RunError;
use super::clusters::{Clusters, Provider};
use crate::truth::{TruthChecker, Watched};

/// Namespace of everything in a run.
pub const NAMESPACE: &str = "load";

/// Concurrent writes to the hub.
pub(super) const CONCURRENT_WRITES: usize = 32;

/// A hub, the clusters on it, and the replicas that observe them. Dropping it ends all processes.
pub struct Fleet {
    /// The installation in [`NAMESPACE`]; without replicas until [`Fleet::scale_up`].
    pub replicas: Installation,
    /// The control plane with the targets, statuses and Leases.
    pub hub: ControlPlane,
    /// The observed clusters, numbered from 0.
    pub clusters: Clusters,
    /// Client of the hub, with the rights of an administrator.
    pub client: Client,
    /// Number of replicas.
    pub count: u32,
    /// Number of clusters, each with one IntegrationTarget.
    pub targets: u32,
    /// Number of clusters, at the end, reserved for a truth checker: [`Fleet::break_first`] and
    /// [`Fleet::until_phases`] ignore them.
    pub untouched: u32,
}

impl Fleet {
    /// Prepares a hub with ksit's CRDs and RBAC, and `targets` simulated clusters selected by an integration of type
    /// flux. Starts no replica; `flags` go to each.
    ///
    /// # Errors
    /// Fails if the hub does not start or the objects can't be created on it.
    pub async fn prepare(ksit: &Path, targets: u32, flags: &[&str]) -> Result<Self, RunError> {
        Self::prepare_with(ksit, Provider::Sim, targets, 0, &["flux"], flags).await
    }

    /// Like [`Self::prepare`], with clusters of this provider and integrations of these types.
    pub(crate) async fn prepare_with(
        ksit: &Path,
        provider: Provider,
        targets: u32,
        managed: u16,
        integrations: &[&str],
        flags: &[&str],
    ) -> Result<Self, RunError> {
        let hub = ControlPlane::builder("hub").without_reads_in_audit().start().await?;
        Self::prepare_on(hub, ksit, (provider, targets, managed), integrations, flags).await
    }

    /// Like [`Self::prepare`], with clusters of this provider and integrations of these types, on a given hub, which
    /// nothing else may use.
    ///
    /// # Errors
    /// Fails if the clusters do not start or the objects can't be created on the hub.
    pub async fn prepare_on(
        hub: ControlPlane,
        ksit: &Path,
        (provider, targets, managed): (Provider, u32, u16),
        integrations: &[&str],
        flags: &[&str],
    ) -> Result<Self, RunError> {
        open_many_files();
        let client = hub.client().await?;
        install_crds(&client, ksit).await?;
        Workloads::new(client.clone()).namespace(NAMESPACE).await?;
        let clusters = Clusters::start(provider, targets, managed).await?;
        let made = AtomicU32::new(0);
        stream::iter(0..targets)
            .map(async |number| {
                add_target(&client, &clusters, number).await?;
                let made = made.fetch_add(1, Relaxed) + 1;
                if made.is_multiple_of(1000) {
                    eprintln!("  … {made} of {targets} targets are on the hub");
                }
                Ok::<(), RunError>(())
            })
            .buffer_unordered(CONCURRENT_WRITES)
            .try_collect::<()>()
            .await?;
        for kind in integrations {
            let mut spec = json!({ "type": kind, "targetSelector": selector() });
            if managed > 0 && ["argocd", "flux"].contains(kind) {
                spec["config"] = json!({ "failWhen": "1" });
            }
            create(&client, "Integration", kind, spec).await?;
        }
        let replicas = Installation::new(&hub, ksit, NAMESPACE, flags).await?;
        Ok(Self { replicas, hub, clusters, client, count: 0, targets, untouched: 0 })
    }

    /// Makes the Integrations name every cluster, for an operator without `targetSelector`.
    ///
    /// # Errors
    /// Fails if the hub refuses a write.
    pub async fn name_clusters(&self) -> Result<(), RunError> {
        let names: Vec<String> = (0..self.targets).map(target_name).collect();
        self.renew_integrations(json!({ "targetClusters": names, "targetSelector": null })).await
    }

    /// Makes the Integrations select their clusters again, and removes finalizers of another operator.
    ///
    /// # Errors
    /// Fails if the hub refuses a write.
    pub async fn select_clusters(&self) -> Result<(), RunError> {
        self.renew_integrations(json!({ "targetClusters": null, "targetSelector": selector() })).await
    }

    async fn renew_integrations(&self, spec: Value) -> Result<(), RunError> {
        let integrations = api(&self.client, NAMESPACE, "Integration");
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null }, "spec": spec }));
        for integration in integrations.list(&ListParams::default()).await? {
            integrations.patch(&integration.name_any(), &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Starts a truth checker that flips these simulated clusters and times how long their statuses are wrong.
    ///
    /// # Errors
    /// Fails unless the clusters are simulated.
    pub fn check_truth(&self, clusters: impl IntoIterator<Item = u32>) -> Result<TruthChecker, RunError> {
        Ok(TruthChecker::start(Watched {
            client: self.client.clone(),
            namespace: NAMESPACE.to_owned(),
            simulator: self.clusters.simulator()?.clone(),
            selector: "",
            clusters: clusters.into_iter().collect(),
            name: target_name,
            tool: "flux",
        }))
    }

    /// Breaks Flux in the first `count` simulated clusters and repairs it in the others.
    ///
    /// # Errors
    /// Fails unless the clusters are simulated.
    pub fn break_first(&self, count: u32) -> Result<(), RunError> {
        self.clusters.simulator()?.break_first_of(self.targets - self.untouched, count);
        Ok(())
    }

    /// Scales to `count` replicas: creates the Pods of the missing ones, starts these together, and returns the time of
    /// the start.
    ///
    /// # Errors
    /// Fails if the hub refuses a write or a process can't be started.
    pub async fn scale_up(&mut self, count: u32) -> Result<Instant, RunError> {
        self.count = count;
        self.replicas.want(count).await?;
        let missing: Vec<u32> = (0..count).filter(|ordinal| self.replicas.replica(*ordinal).is_none()).collect();
        for ordinal in &missing {
            self.replicas.prepare(*ordinal).await?;
        }
        let start = Instant::now();
        missing.iter().try_for_each(|ordinal| self.replicas.launch(*ordinal))?;
        Ok(start)
    }
}

/// Creates a target and its Secret on the hub.
pub(super) async fn add_target(client: &Client, clusters: &Clusters, number: u32) -> Result<(), RunError> {
    let name = target_name(number);
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": secret_name(number) },
        "stringData": { "kubeconfig": clusters.kubeconfig(number)? },
    }))?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    secrets.create(&PostParams::default(), &secret).await?;
    create(client, "IntegrationTarget", &name, json!({ "clusterName": name, "labels": { "env": "load" } })).await
}

pub(super) async fn remove_target(client: &Client, number: u32) -> Result<(), RunError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    api(client, NAMESPACE, "IntegrationTarget").delete(&target_name(number), &DeleteParams::default()).await?;
    secrets.delete(&secret_name(number), &DeleteParams::default()).await?;
    Ok(())
}

/// Writes the currently valid kubeconfig.
pub(super) async fn renew_secret(client: &Client, clusters: &Clusters, number: u32) -> Result<(), RunError> {
    put_secret(client, number, &clusters.kubeconfig(number)?).await
}

/// Writes a kubeconfig.
pub(super) async fn put_secret(client: &Client, number: u32, kubeconfig: &str) -> Result<(), RunError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({ "stringData": { "kubeconfig": kubeconfig } });
    secrets.patch(&secret_name(number), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

pub(super) fn target_name(number: u32) -> String {
    format!("c{number:05}")
}

pub(super) fn secret_name(number: u32) -> String {
    format!("{}-kubeconfig", target_name(number))
}

/// Selects every cluster of the run.
fn selector() -> Value {
    json!({ "matchLabels": { "env": "load" } })
}

/// Creates an object, which is several times faster than server-side apply.
async fn create(client: &Client, kind: &str, name: &str, spec: Value) -> Result<(), RunError> {
    api(client, NAMESPACE, kind).create(&PostParams::default(), &object(kind, name, spec)).await?;
    Ok(())
}
