//! The fleet of a run: hub, simulated clusters, replicas.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::{RunError, Settings};
use crate::ControlPlane;
use crate::installation::Installation;
use crate::simulator::Simulator;
use crate::workloads::Workloads;

const NAMESPACE: &str = "load";

/// Writes to the hub under way at a time while the fleet is made.
const AT_A_TIME: usize = 32;

/// For the fleet to settle at the start and after each fault.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Fleet {
    pub replicas: Installation,
    pub hub: ControlPlane,
    pub simulator: Simulator,
    pub count: u32,
}

/// What the present coordinator says of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub coordinator: u32,
    pub term: f64,
    pub members: f64,
    pub orphaned: f64,
    pub unobserved: f64,
    pub oldest: f64,
}

impl Fleet {
    pub async fn start(settings: &Settings) -> Result<Self, RunError> {
        eprintln!("starting the hub and {} simulated clusters", settings.targets);
        let hub = ControlPlane::builder("hub").start().await?;
        let client = hub.client().await?;
        install_crds(&client, &settings.ksit).await?;
        Workloads::new(client.clone()).namespace(NAMESPACE).await?;
        let simulator = Simulator::start().await?;
        stream::iter(0..settings.targets)
            .map(|number| add_target(&client, &simulator, number))
            .buffer_unordered(AT_A_TIME)
            .try_collect::<()>()
            .await?;
        let spec = json!({ "type": "flux", "targetSelector": { "matchLabels": { "env": "load" } } });
        apply(&client, "Integration", "flux", spec).await?;
        eprintln!("starting {} replicas", settings.replicas);
        let mut replicas = Installation::new(&hub, &settings.ksit, NAMESPACE, &[]).await?;
        replicas.want(settings.replicas).await?;
        for ordinal in 0..settings.replicas {
            replicas.start(ordinal).await?;
        }
        let mut fleet = Self { replicas, hub, simulator, count: settings.replicas };
        let start = Instant::now();
        fleet.settle().await?;
        eprintln!("all clusters observed after {:.1} s", start.elapsed().as_secs_f64());
        Ok(fleet)
    }

    /// Waits until all replicas take part and every cluster was observed by its owner.
    pub async fn settle(&mut self) -> Result<Seen, RunError> {
        let start = Instant::now();
        loop {
            self.replicas.check()?;
            if let Some(seen) = self.look().await
                && seen.members >= f64::from(self.count)
                && seen.orphaned == 0.0
                && seen.unobserved == 0.0
                && self.all_own(self.count).await?
            {
                return Ok(seen);
            }
            if start.elapsed() > PATIENCE {
                return Err(format!(
                    "the fleet did not settle within {} s: {:?}",
                    PATIENCE.as_secs(),
                    self.look().await
                )
                .into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn all_own(&self, count: u32) -> Result<bool, RunError> {
        let map = self.map().await?;
        Ok(map.data["spec"]["members"].as_array().is_some_and(|members| members.len() == count as usize))
    }

    async fn map(&self) -> Result<DynamicObject, RunError> {
        Ok(api(&self.hub.client().await?, "ShardMap").get("ksit").await?)
    }

    /// What the coordinator's metrics say; `None` while nobody leads.
    pub async fn look(&self) -> Option<Seen> {
        for ordinal in 0..self.count {
            let Some(metrics) = self.metrics(ordinal).await else { continue };
            let get = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
            if get("ksit_coordinator_term") > 0.0 {
                return Some(Seen {
                    coordinator: ordinal,
                    term: get("ksit_coordinator_term"),
                    members: get("ksit_members"),
                    orphaned: get("ksit_targets_orphaned"),
                    unobserved: get("ksit_targets_unobserved"),
                    oldest: get("ksit_oldest_observation_seconds"),
                });
            }
        }
        None
    }

    /// The metrics without labels.
    async fn metrics(&self, ordinal: u32) -> Option<BTreeMap<String, f64>> {
        self.replicas.replica(ordinal)?;
        let log = self.replicas.log(ordinal);
        // A replica that was started again has a line for each start.
        let line = log.lines().rfind(|line| line.contains("serving /livez"))?;
        let address = line.split("address=").nth(1)?.split_whitespace().next()?.to_owned();
        let text = timeout(Duration::from_secs(1), fetch(&address)).await.ok()?.ok()?;
        let number = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect())
    }
}

async fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ksit\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
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

async fn add_target(client: &Client, simulator: &Simulator, number: u32) -> Result<(), RunError> {
    let name = format!("c{number:05}");
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": format!("{name}-kubeconfig") },
        "stringData": { "kubeconfig": simulator.kubeconfig(number) },
    }))?;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), NAMESPACE);
    secrets.patch(&secret.name_any(), &params(), &Patch::Apply(&secret)).await?;
    apply(client, "IntegrationTarget", &name, json!({ "clusterName": name, "labels": { "env": "load" } })).await
}

async fn apply(client: &Client, kind: &str, name: &str, spec: Value) -> Result<(), RunError> {
    let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    api(client, kind).patch(name, &params(), &Patch::Apply(object)).await?;
    Ok(())
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("ksit.io", "v1alpha1", kind));
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

fn params() -> PatchParams {
    PatchParams::apply("loadtest").force()
}
