//! The fleet of a run: hub, clusters, replicas.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::RunError;
use super::clusters::{Clusters, Provider};
use crate::ControlPlane;
use crate::installation::Installation;
use crate::resources::{api, object};
use crate::truth::{TruthChecker, Watched};
use crate::usage::open_many_files;
use crate::workloads::Workloads;

/// Of everything in a run.
pub const NAMESPACE: &str = "load";

/// Writes to the hub under way at a time while the fleet is made.
const AT_A_TIME: usize = 32;

pub struct Fleet {
    pub replicas: Installation,
    pub hub: ControlPlane,
    pub clusters: Clusters,
    pub client: Client,
    /// Replicas.
    pub count: u32,
    pub targets: u32,
    /// The last so many clusters are left to a truth checker: neither [`Fleet::break_first`] nor
    /// [`Fleet::until_phases`] concerns them.
    pub untouched: u32,
}

impl Fleet {
    /// The same with Flux alone, on simulated clusters.
    pub async fn prepare(ksit: &Path, targets: u32, flags: &[&str]) -> Result<Self, RunError> {
        Self::prepare_with(ksit, Provider::Sim, targets, &["flux"], flags).await
    }

    /// A hub with ksit's CRDs and rights, and so many clusters that integrations of these types concern. No replica
    /// runs yet; `flags` go to each.
    pub async fn prepare_with(
        ksit: &Path,
        provider: Provider,
        targets: u32,
        integrations: &[&str],
        flags: &[&str],
    ) -> Result<Self, RunError> {
        let hub = ControlPlane::builder("hub").without_reads_in_audit().start().await?;
        Self::prepare_on(hub, ksit, provider, targets, integrations, flags).await
    }

    /// The same on a hub of the caller's choice, which nothing else uses.
    pub async fn prepare_on(
        hub: ControlPlane,
        ksit: &Path,
        provider: Provider,
        targets: u32,
        integrations: &[&str],
        flags: &[&str],
    ) -> Result<Self, RunError> {
        open_many_files();
        let client = hub.client().await?;
        install_crds(&client, ksit).await?;
        Workloads::new(client.clone()).namespace(NAMESPACE).await?;
        let clusters = Clusters::start(provider, targets).await?;
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
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        for kind in integrations {
            create(&client, "Integration", kind, json!({ "type": kind, "targetSelector": selector() })).await?;
        }
        let replicas = Installation::new(&hub, ksit, NAMESPACE, flags).await?;
        Ok(Self { replicas, hub, clusters, client, count: 0, targets, untouched: 0 })
    }

    /// Has the Integrations name every cluster, for an operator that doesn't know `targetSelector`.
    pub async fn name_clusters(&self) -> Result<(), RunError> {
        let names: Vec<String> = (0..self.targets).map(target_name).collect();
        self.renew_integrations(json!({ "targetClusters": names, "targetSelector": null })).await
    }

    /// Has the Integrations select their clusters again, without finalizers of another operator.
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

    /// Flips these simulated clusters from now on, and times how long their statuses are wrong.
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

    /// From now on Flux is broken in the first `count` simulated clusters, and healthy in the others.
    pub fn break_first(&self, count: u32) -> Result<(), RunError> {
        self.clusters.simulator()?.break_first_of(self.targets - self.untouched, count);
        Ok(())
    }

    /// Has so many replicas and starts those that don't run, together: when that was. Their Pods were made before.
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

async fn install_crds(client: &Client, ksit: &Path) -> Result<(), RunError> {
    let printed = std::process::Command::new(ksit).arg("crds").output()?;
    let crds: Vec<CustomResourceDefinition> = serde_saphyr::from_multiple(std::str::from_utf8(&printed.stdout)?)?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in &crds {
        api.patch(&crd.name_any(), &params(), &Patch::Apply(crd)).await?;
        await_condition(api.clone(), &crd.name_any(), is_crd_established()).await?;
    }
    Ok(())
}

/// Puts a target and its Secret on the hub.
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

/// Writes the kubeconfig that is valid now.
pub(super) async fn renew_secret(client: &Client, clusters: &Clusters, number: u32) -> Result<(), RunError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    let patch = json!({ "stringData": { "kubeconfig": clusters.kubeconfig(number)? } });
    secrets.patch(&secret_name(number), &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

pub(super) fn target_name(number: u32) -> String {
    format!("c{number:05}")
}

pub(super) fn secret_name(number: u32) -> String {
    format!("{}-kubeconfig", target_name(number))
}

/// Takes every cluster of the run.
fn selector() -> Value {
    json!({ "matchLabels": { "env": "load" } })
}

/// Server-side apply would take several times as long, and nothing is there yet.
async fn create(client: &Client, kind: &str, name: &str, spec: Value) -> Result<(), RunError> {
    api(client, NAMESPACE, kind).create(&PostParams::default(), &object(kind, name, spec)).await?;
    Ok(())
}

fn params() -> PatchParams {
    PatchParams::apply("loadtest").force()
}
