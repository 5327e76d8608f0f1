//! Tests ksit as users run it: image and chart on a real cluster, another cluster as its target, through the whole life
//! of an installation.
//!
//! ```text
//! hub (kind): chart, 3 Pods ──── kind's network ───> target (kind): its DNS is the checked component
//!      ▲                                                  ▲
//!      └── helm, evictions, deletions ── steps ── scale ──┘
//! ```

mod helm;
mod inventory;
mod record;
mod release;
mod replicas;
mod target;

use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use kube::{Client, ResourceExt};
use testkit::division::Division;
use testkit::kind::KindCluster;
use tokio::time::Instant;

use crate::steps::Steps;
use crate::table;
use helm::Helm;
use record::Record;

pub(crate) type E2eError = Box<dyn std::error::Error + Send + Sync>;

/// Name of the release, the installation and its StatefulSet.
const RELEASE: &str = "ksit";

/// Namespace of the release and of its fleet.
const NAMESPACE: &str = "ksit-system";

/// Number of IntegrationTargets. All point to the same cluster; there are several so that each replica owns some.
const TARGETS: u32 = 12;

const REPLICAS: u32 = 3;

/// The chart's default.
const LEASE: Duration = Duration::from_secs(10);

/// Time limit of each wait, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(180);

/// Clusters and clients of the test. Dropping it deletes the clusters.
struct Stage {
    hub: KindCluster,
    target: KindCluster,
    client: Client,
    target_client: Client,
    helm: Helm,
}

/// State recorded from the install on.
struct Watched {
    /// Phases of the IntegrationTargets, such as `Running 12`.
    targets: Record<String>,
    /// Phase of the Integration, such as `Running 1`.
    integration: Record<String>,
    /// Versions of the ShardMap.
    maps: Record<Division>,
}

/// Runs all steps with the image of an archive. The error names the failed step.
pub async fn run(image: PathBuf) -> Result<(), E2eError> {
    let began = Instant::now();
    let mut steps = Steps::default();
    KindCluster::can_be_made().await?;
    let helm = Helm::find().await?;
    let (hub, target) = steps.take("two clusters: a hub and a target", clusters()).await?;
    let (client, target_client) = (hub.client().await?, target.client().await?);
    steps.take("load the image onto the hub's node", hub.load(&image)).await?;
    let stage = Stage { helm: helm.of(&hub), hub, target, client, target_client };
    let result = stage.run(&mut steps).await;
    if result.is_err() {
        stage.dump().await;
    }
    steps.show();
    result?;
    println!("The whole run took {} s.", began.elapsed().as_secs());
    Ok(())
}

async fn clusters() -> Result<(KindCluster, KindCluster), E2eError> {
    tokio::try_join!(KindCluster::create("ksit-e2e-hub"), KindCluster::create("ksit-e2e-target"))
}

impl Stage {
    async fn run(&self, steps: &mut Steps) -> Result<(), E2eError> {
        let before = steps.take("rights on the target, and its Secret on the hub", self.connect()).await?;
        let watched = steps.take("install, 3 replicas", self.install()).await?;
        steps.take("a fleet: all run", self.make_fleet(&watched)).await?;
        self.show("/apis/ksit.io/v1alpha1", "integrations").await?;
        steps.take("helm test", self.helm.run(&["test", RELEASE])).await?;
        steps.take("the target's DNS is scaled to 0: Failed", self.break_target(&watched)).await?;
        self.show("/apis/ksit.io/v1alpha1", "integrations").await?;
        steps.take("and repaired: Running", self.mend_target(&watched)).await?;
        steps.take("upgrade, which replaces all Pods", self.upgrade(&watched)).await?;
        steps.take("rollback, which replaces them again", self.roll_back(&watched)).await?;
        steps.take("scaled to 5 replicas", self.scale(&watched, 5)).await?;
        steps.take("scaled to 2", self.scale(&watched, 2)).await?;
        steps.take("scaled to 3", self.scale(&watched, REPLICAS)).await?;
        steps.take("the coordinator's Pod is deleted", self.delete_coordinator(&watched)).await?;
        steps.take("the coordinator's process is killed", self.kill_coordinator(&watched)).await?;
        steps.take("Pods are evicted, as a drain does", self.evict(&watched)).await?;
        drop(watched);
        steps.take("uninstall", self.uninstall(&before)).await
    }

    /// Prints objects as `kubectl get` does.
    async fn show(&self, api: &str, plural: &str) -> Result<(), E2eError> {
        println!("{}", table::get(&self.client, &format!("{api}/namespaces/{NAMESPACE}/{plural}")).await?);
        Ok(())
    }

    /// Prints objects and log tails after a failed step.
    async fn dump(&self) {
        for plural in ["integrations", "integrationtargets", "shardmaps"] {
            drop(self.show("/apis/ksit.io/v1alpha1", plural).await);
        }
        drop(self.show("/api/v1", "pods").await);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), NAMESPACE);
        for pod in pods.list(&Default::default()).await.into_iter().flatten() {
            let name = pod.name_any();
            let end = LogParams { tail_lines: Some(15), ..LogParams::default() };
            let log = pods.logs(&name, &end).await.unwrap_or_else(|error| error.to_string());
            println!("the end of the log of {name}:\n{log}");
        }
    }
}

/// Prints a line of progress within a step.
fn print_progress(text: &str) {
    println!("    {text}");
}
