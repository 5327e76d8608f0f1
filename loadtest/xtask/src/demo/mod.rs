//! The demo: a hub, three clusters with five tools, and ksit's statuses while things break.
//!
//! All API servers are real. The clusters have no Pods: a small controller of the demo writes the statuses of their
//! workloads, so that `kubectl scale` works.

mod controller;
mod fleet;
mod replicas;
mod story;

use std::path::PathBuf;

use testkit::installation::{Installation, install_crds};
use testkit::{ControlPlane, StartError};
use tokio::task::JoinSet;

pub use story::run;

pub(crate) type DemoError = Box<dyn std::error::Error + Send + Sync>;

/// Everything that runs during the demo. Dropping it ends all of it.
pub struct Stage {
    replicas: Installation,
    ksit: PathBuf,
    hub: ControlPlane,
    targets: Vec<ControlPlane>,
    /// One for each cluster.
    _controllers: JoinSet<()>,
}

/// The clusters of the demo.
const CLUSTERS: [&str; 3] = ["berlin", "osaka", "quito"];

const REPLICAS: u32 = 3;

/// The namespace of the demo's resources on the hub.
const NAMESPACE: &str = "fleet";

impl Stage {
    /// Starts the hub, the clusters, and `ksit operator`.
    pub async fn set(ksit: PathBuf) -> Result<Self, DemoError> {
        print_step("starting a hub and three clusters: etcd and kube-apiserver each, with real TLS");
        let (hub, targets) = start_planes().await?;
        print_step("installing the CRDs, the tools on the clusters, and ksit's resources on the hub");
        install_crds(&hub.client().await?, &ksit).await?;
        for target in &targets {
            fleet::install_tools(target).await?;
        }
        let mut controllers = JoinSet::new();
        for target in &targets {
            controllers.spawn(controller::run(target.client().await?));
        }
        fleet::install_resources(&hub, &targets).await?;
        print_step("starting three replicas of ksit operator, each with the tokens of a Pod of its own");
        let replicas = fleet::start_replicas(&hub, &ksit).await?;
        Ok(Self { replicas, ksit, hub, targets, _controllers: controllers })
    }
}

/// Starts two planes at a time: four at once would compete for two cores.
async fn start_planes() -> Result<(ControlPlane, Vec<ControlPlane>), StartError> {
    let start = |name: &'static str| ControlPlane::builder(name).start();
    let (hub, first) = tokio::try_join!(start("hub"), start(CLUSTERS[0]))?;
    let (second, third) = tokio::try_join!(start(CLUSTERS[1]), start(CLUSTERS[2]))?;
    Ok((hub, vec![first, second, third]))
}

fn print_step(text: &str) {
    println!("\n==> {text}");
}
