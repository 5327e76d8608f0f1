//! Installs a release on a kind cluster from a registry, as its users do.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Tool;
use testkit::kind::{KindCluster, run};
use testkit::resources::{api, object};
use tokio::time::sleep;

use super::publish::Published;
use super::{ReleaseError, VERSION, names, run_tool};
use crate::steps::Steps;

const NAMESPACE: &str = "ksit-system";

/// Time limit for the first verdict, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// Installs the chart of the registry `folder` with the image of that registry on one cluster, registers another with the
/// released program `ksit`, and waits for the verdict on its DNS.
///
/// # Errors
/// Names the step that failed.
pub(super) async fn install(
    steps: &mut Steps,
    ksit: &Path,
    folder: &str,
    image: &Published,
) -> Result<(), ReleaseError> {
    KindCluster::can_be_made().await?;
    let create =
        async { tokio::try_join!(KindCluster::create("ksit-release-hub"), KindCluster::create("ksit-release-target")) };
    let (hub, target) = steps.take("two kind clusters: a hub and a target", create).await?;
    steps.take("image from the registry onto the hub's node", load(&hub, image)).await?;
    steps.take("helm install from the registry: Pods are ready", helm_install(&hub, folder, &image.name)).await?;
    steps.take("ksit target add", add(ksit, &hub, &target)).await?;
    steps.take("first verdict: CoreDNS is Running", first_verdict(&hub)).await
}

/// Loads the image as an archive: the node can't reach a registry on loopback of this machine.
async fn load(hub: &KindCluster, image: &Published) -> Result<(), ReleaseError> {
    let folder = tempfile::tempdir()?;
    let archive = folder.path().join("image.tar");
    let tagged = format!("{}:{VERSION}", image.name);
    let platform = format!("linux/{}", names::Platform::host()?.arch);
    run_tool(Tool::Crane, &["pull", "--platform", &platform, &tagged, &archive.display().to_string()], &[]).await?;
    hub.load(&archive).await
}

async fn helm_install(hub: &KindCluster, folder: &str, image: &str) -> Result<(), ReleaseError> {
    let (chart, kubeconfig) = (format!("oci://{}/ksit", names::charts(folder)), hub.kubeconfig_path());
    let (set, kubeconfig) = (format!("image.repository={image}"), format!("--kubeconfig={}", kubeconfig.display()));
    let install = ["install", "ksit", &chart, "--version", VERSION, "--plain-http", "--set", &set, &kubeconfig];
    let wait = ["--namespace", NAMESPACE, "--create-namespace", "--wait", "--timeout=3m"];
    run_tool(Tool::Helm, &[&install[..], &wait].concat(), &[]).await.map(drop)
}

/// Registers the target by its address in kind's network.
async fn add(ksit: &Path, hub: &KindCluster, target: &KindCluster) -> Result<(), ReleaseError> {
    let both = format!("{}:{}", target.kubeconfig_path().display(), hub.kubeconfig_path().display());
    let context = |cluster: &KindCluster| format!("kind-{}", cluster.name());
    let (hub_context, context, server) = (context(hub), context(target), target.internal_url().await?);
    let names = ["target", "add", "--name", "target", "--context", &context, "--hub-context", &hub_context];
    let rest = ["--server", &server, "--type", "coredns", "--label", "env=test", "-n", NAMESPACE, "--yes"];
    let arguments: Vec<String> = names.iter().chain(&rest).map(|argument| (*argument).to_owned()).collect();
    run(&ksit.display().to_string(), &arguments, &[("KUBECONFIG", &both)]).await.map(drop)
}

async fn first_verdict(hub: &KindCluster) -> Result<(), ReleaseError> {
    let integrations = api(&hub.client().await?, NAMESPACE, "Integration");
    let spec = json!({ "type": "coredns", "targetSelector": { "matchLabels": { "env": "test" } } });
    integrations.create(&Default::default(), &object("Integration", "coredns", spec)).await?;
    let start = Instant::now();
    loop {
        let status = integrations.get("coredns").await?.data["status"].clone();
        if status["phase"] == "Running" && status["targets"]["total"] == 1 {
            println!("    {}", status["message"]);
            return Ok(());
        }
        if start.elapsed() > PATIENCE {
            return Err(format!("after {} s the status is {status}", PATIENCE.as_secs()).into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}
