//! The targets of a run: simulated, or real API servers on this machine with the same objects.
//!
//! ```text
//!           ┌─ sim    the simulator: thousands, and every fault
//! Clusters ─┼─ local  etcd and kube-apiserver; a break is a written status
//!           └─ kind   whole clusters in containers; a break is a Pod that is not ready
//! ```

mod kind;
mod local;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt, stream};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use kube::core::GroupVersionKind;
use simulator::{Component, ComponentId, Counts, Health, Manifest, Simulator, manifests};
use testkit::workloads::Workloads;

use super::RunError;
use kind::KindTarget;
use local::LocalTarget;

/// Kind of targets. Load is only ever put on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Provider {
    /// Simulated API servers in this process.
    #[default]
    Sim,
    /// Real API servers: etcd and kube-apiserver each, about 350 MB.
    Local,
    /// Clusters created by `kind`, which must be on PATH with docker; about 700 MB each.
    Kind,
}

impl Provider {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Local => "local",
            Self::Kind => "kind",
        }
    }

    /// Concurrent starts; more than two gain nothing.
    const CONCURRENT_STARTS: usize = 2;

    /// Concurrent writes to one target.
    const CONCURRENT_WRITES: usize = 8;
}

/// The running targets. Dropping it ends them.
pub enum Clusters {
    /// All in one simulator, which numbers them.
    Simulated(Arc<Simulator>),
    /// One control plane each, in the order of their numbers.
    Local(Vec<LocalTarget>),
    /// One `kind` cluster each, in the order of their numbers.
    Kind(Vec<KindTarget>),
}

impl Clusters {
    pub(super) async fn start(provider: Provider, count: u32, managed: u16) -> Result<Self, RunError> {
        let settings = simulator::Settings { managed, ..simulator::Settings::default() };
        Ok(match provider {
            Provider::Sim => Self::Simulated(Arc::new(Simulator::with(count, settings).await?)),
            Provider::Local => Self::Local(started(count, LocalTarget::start).await?),
            Provider::Kind => Self::Kind(started(count, KindTarget::start).await?),
        })
    }

    /// The simulator, for operations that only simulated clusters support.
    ///
    /// # Errors
    /// Fails for any other provider.
    pub fn simulator(&self) -> Result<&Arc<Simulator>, RunError> {
        match self {
            Self::Simulated(simulator) => Ok(simulator),
            Self::Local(_) | Self::Kind(_) => Err("only simulated clusters support this: use --provider sim".into()),
        }
    }

    pub(super) fn kubeconfig(&self, number: u32) -> Result<String, RunError> {
        let unknown = || format!("there is no target {number}");
        match self {
            Self::Simulated(simulator) => Ok(simulator.kubeconfig(number)),
            Self::Local(targets) => targets.get(number as usize).ok_or_else(unknown)?.kubeconfig(),
            Self::Kind(targets) => targets.get(number as usize).ok_or_else(unknown)?.kubeconfig(),
        }
    }

    /// Components whose failure makes an integration fail.
    pub(super) fn vital() -> Vec<Component> {
        manifests().iter().map(|manifest| manifest.component).filter(Component::is_vital).collect()
    }

    /// The managed objects of every simulated cluster.
    pub(super) fn managed(&self) -> Result<Vec<ComponentId>, RunError> {
        let components = self.simulator()?.components().filter(|component| component.kind.is_managed());
        let ids: Vec<ComponentId> = components.map(|component| component.id).collect();
        if ids.is_empty() { Err("the scenario has no managed objects: set `managed`".into()) } else { Ok(ids) }
    }

    /// Breaks or repairs a component of a target.
    pub(super) async fn set(&self, number: u32, id: ComponentId, health: Health) -> Result<(), RunError> {
        let unknown = || format!("there is no target {number}");
        match self {
            Self::Simulated(simulator) => {
                simulator.set(number, id, health);
                Ok(())
            }
            Self::Local(targets) => targets.get(number as usize).ok_or_else(unknown)?.set(id, health).await,
            Self::Kind(targets) => targets.get(number as usize).ok_or_else(unknown)?.set(id, health).await,
        }
    }

    /// Requests to all targets so far. kind clusters have no counts, and only the simulator counts connections.
    pub(super) fn requests(&self) -> Result<Option<RequestCounts>, RunError> {
        Ok(match self {
            Self::Simulated(simulator) => Some(RequestCounts::from(simulator.counts())),
            Self::Local(targets) => {
                Some(targets.iter().try_fold(RequestCounts::default(), |all, target| target.requests(all))?)
            }
            Self::Kind(_) => None,
        })
    }
}

/// Requests to all targets.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RequestCounts {
    pub(super) lists: u64,
    pub(super) watches: u64,
    pub(super) liveness: u64,
    pub(super) others: u64,
    pub(super) connections: Option<Connections>,
}

/// TCP connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connections {
    /// Accepted so far.
    pub(super) accepted: u64,
    /// Open now.
    pub(super) open: u64,
}

impl RequestCounts {
    /// Requests of all kinds.
    pub(super) fn total(&self) -> u64 {
        self.lists + self.watches + self.liveness + self.others
    }
}

impl From<Counts> for RequestCounts {
    fn from(counts: Counts) -> Self {
        let Counts { accepted, open, lists, watches, liveness, named, others, open_watches: _ } = counts;
        let connections = Some(Connections { accepted, open });
        Self { lists, watches, liveness, others: named + others, connections }
    }
}

/// Creates objects and their namespaces on a target.
async fn install(client: &Client, manifests: &[Manifest]) -> Result<(), RunError> {
    let workloads = Workloads::new(client.clone());
    let namespaces = manifests.iter().map(|manifest| manifest.component.namespace).filter(|name| !name.is_empty());
    for namespace in namespaces.collect::<BTreeSet<_>>() {
        workloads.namespace(namespace).await?;
    }
    stream::iter(manifests.iter().map(Ok))
        .try_for_each_concurrent(Provider::CONCURRENT_WRITES, async |manifest| {
            let object = serde_json::from_value(manifest.healthy.clone())?;
            api(client, manifest).create(&PostParams::default(), &object).await?;
            Ok(())
        })
        .await
}

fn api(client: &Client, manifest: &Manifest) -> Api<DynamicObject> {
    let text = |field: &str| manifest.healthy[field].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").rsplit_once('/').unwrap_or(("", text("apiVersion")));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, text("kind")));
    match manifest.component.namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

/// The object's own name.
fn name(manifest: &Manifest) -> &str {
    manifest.healthy["metadata"]["name"].as_str().unwrap_or_default()
}

async fn started<T>(count: u32, start: impl AsyncFn(u32) -> Result<T, RunError>) -> Result<Vec<T>, RunError> {
    let mut targets = Vec::new();
    let mut starting =
        stream::iter(0..count).map(async |number| start(number).await).buffered(Provider::CONCURRENT_STARTS);
    while let Some(target) = starting.try_next().await? {
        targets.push(target);
        eprintln!("  … {} of {count} targets run", targets.len());
    }
    Ok(targets)
}
