//! The steps of the demo, and the state awaited after each.

use std::path::PathBuf;
use std::time::Duration;

use kube::{Client, ResourceExt};
use testkit::resources::api;
use testkit::workloads::Workloads;
use tokio::time::{Instant, sleep};

use super::{CLUSTERS, DemoError, NAMESPACE, Stage, print_step};
use crate::table;

/// Time limit per step, for loaded machines.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the demo with the `ksit` program at `ksit`. With `keep`, everything stays up until Ctrl-C.
pub async fn run(ksit: PathBuf, keep: bool) -> Result<(), DemoError> {
    let mut stage = Stage::set(ksit).await?;
    let start = Instant::now();
    let hub = stage.hub.client().await?;
    stage.until(&hub, "all tools run on all clusters", &[]).await?;

    print_step(&format!("on {}, somebody scales argocd-server to 0", CLUSTERS[0]));
    let workloads = Workloads::new(stage.targets[0].client().await?);
    workloads.scale("Deployment", "argocd", "argocd-server", 0).await?;
    let named = ["argocd", CLUSTERS[0], "Deployment argocd/argocd-server"];
    stage.until(&hub, "the Integration names the cluster and the component", &[("argocd", &named)]).await?;

    print_step(&format!("the API server of {} stops", CLUSTERS[1]));
    stage.targets[1].stop_api_server();
    let down = [CLUSTERS[1], "unreachable"];
    // Argo CD now fails on two clusters, and its message names the other one.
    let failing: [(&str, &[&str]); 5] =
        [("argocd", &[]), ("flux", &down), ("istio", &down), ("prometheus", &down), ("shop", &down)];
    stage.until(&hub, "the cluster is Unreachable", &failing).await?;

    print_step("both are repaired");
    workloads.scale("Deployment", "argocd", "argocd-server", 1).await?;
    stage.targets[1].start_api_server().await?;
    stage.until(&hub, "all run again", &[]).await?;

    stage.replicas_die(&hub).await?;

    println!("\nThe demo took {} s.", start.elapsed().as_secs());
    if keep {
        println!("\nTry it yourself, then end it with Ctrl-C:");
        println!("  export KUBECONFIG={}", stage.hub.kubeconfig_path().display());
        println!("  kubectl get integrations,integrationtargets -n {NAMESPACE}");
        println!("  {} fleet -n {NAMESPACE} --watch", stage.ksit.display());
        for target in &stage.targets {
            println!("  # cluster {}: --kubeconfig {}", target.name(), target.kubeconfig_path().display());
        }
        println!("  # The clusters have no controllers, so scaling changes nothing there. These commands do:");
        for line in breaks(&stage.targets[0].kubeconfig_path().display().to_string()) {
            println!("  {line}");
        }
        tokio::signal::ctrl_c().await?;
    }
    Ok(())
}

/// Commands that break something on a cluster and repair it.
pub(super) fn breaks(kubeconfig: &str) -> [String; 3] {
    let server =
        format!("kubectl --kubeconfig {kubeconfig} -n argocd patch deployment argocd-server --subresource=status");
    let ready =
        |replicas: u32| format!(r#"{{"status":{{"readyReplicas":{replicas},"availableReplicas":{replicas}}}}}"#);
    [
        format!("{server} --type=merge -p '{}'", ready(0)),
        format!("{server} --type=merge -p '{}'", ready(1)),
        format!("kubectl --kubeconfig {kubeconfig} -n istio-system delete deployment istiod"),
    ]
}

impl Stage {
    /// Waits until exactly the Integrations in `failing` are Failed, each with a message that contains all of its
    /// words, and all others are Running. Then shows both tables.
    pub(super) async fn until(
        &mut self,
        hub: &Client,
        what: &str,
        failing: &[(&str, &[&str])],
    ) -> Result<(), DemoError> {
        let start = Instant::now();
        while !as_expected(hub, failing).await? {
            self.replicas.check()?;
            if start.elapsed() > PATIENCE {
                show(hub).await?;
                return Err(format!("after {} s it is still not so: {what}", PATIENCE.as_secs()).into());
            }
            sleep(Duration::from_millis(100)).await;
        }
        println!("    {what} ({:.1} s)\n", start.elapsed().as_secs_f64());
        show(hub).await
    }
}

async fn as_expected(hub: &Client, failing: &[(&str, &[&str])]) -> Result<bool, DemoError> {
    let all = api(hub, NAMESPACE, "Integration").list(&Default::default()).await?;
    Ok(all.iter().all(|integration| {
        let status = &integration.data["status"];
        let (phase, message) = (status["phase"].as_str().unwrap_or(""), full_message(status));
        match failing.iter().find(|(name, _)| *name == integration.name_any()) {
            None => phase == "Running",
            Some((_, words)) => phase == "Failed" && words.iter().all(|word| message.contains(word)),
        }
    }))
}

async fn show(hub: &Client) -> Result<(), DemoError> {
    for (command, plural) in [("integrations", "integrations"), ("integrationtargets", "integrationtargets")] {
        println!("$ kubectl get {command} -n {NAMESPACE}");
        let path = format!("/apis/ksit.io/v1alpha1/namespaces/{NAMESPACE}/{plural}");
        println!("{}", table::get(hub, &path).await?);
    }
    Ok(())
}

/// The message of the condition `Ready`; `status.message` is truncated.
fn full_message(status: &serde_json::Value) -> &str {
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().find(|condition| condition["type"] == "Ready");
    ready.and_then(|ready| ready["message"].as_str()).unwrap_or("")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::fleet::TOOLS;

    #[test]
    fn hints_name_existing_components() {
        for line in breaks("/tmp/kubeconfig") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| words[words.iter().position(|other| *other == word).unwrap() + 1];
            assert!(TOOLS.contains(&("Deployment", after("-n"), after("deployment"))), "{line}");
            if let Some((_, patch)) = line.split_once(" -p ") {
                let patch: serde_json::Value = serde_json::from_str(patch.trim_matches('\'')).unwrap();
                assert!(patch["status"]["readyReplicas"].is_u64(), "{line}");
            }
        }
    }
}
