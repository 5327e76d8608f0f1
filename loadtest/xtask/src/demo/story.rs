//! The steps of the demo, and the state awaited after each.

use std::path::{Path, PathBuf};
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
    match keep {
        false => println!("KEEP=1 make demo leaves it running, with three things to try."),
        true => {
            let ksit = std::path::absolute(&stage.ksit)?;
            println!("{}", hints(&ksit, &stage.hub.kubeconfig_path(), &stage.targets[0].kubeconfig_path()));
            tokio::signal::ctrl_c().await?;
        }
    }
    Ok(())
}

/// Three things to try: a break, an absence, and a look without a hub.
fn hints(ksit: &Path, hub: &Path, target: &Path) -> String {
    let (path, hub, target) = (ksit.parent().unwrap_or(ksit).display(), hub.display(), target.display());
    let name = CLUSTERS[0];
    format!(
        "
It runs until Ctrl-C. In another terminal:

  export PATH={path}:$PATH KUBECONFIG={hub}
  ksit fleet -n {NAMESPACE}

1. Scale a tool of {name} to 0, see it, and repair it:

  kubectl --kubeconfig {target} -n argocd scale deployment argocd-server --replicas=0
  ksit problems -n {NAMESPACE}
  kubectl --kubeconfig {target} -n argocd scale deployment argocd-server --replicas=1

2. Remove a part of another, which is a fault too:

  kubectl --kubeconfig {target} -n flux-system delete deployment kustomize-controller
  ksit target {name} -n {NAMESPACE}

3. Ask {name} directly, as without a hub:

  ksit check --kubeconfig {target}
"
    )
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
        let hints = hints(Path::new("/bin/ksit"), Path::new("/tmp/hub"), Path::new("/tmp/target"));
        let commands: Vec<Vec<&str>> = hints
            .lines()
            .filter(|line| line.contains("kubectl "))
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(commands.len(), 3);
        for words in commands {
            let after = |word: &str| words[words.iter().position(|other| *other == word).unwrap() + 1];
            assert!(TOOLS.contains(&("Deployment", after("-n"), after("deployment"))), "{words:?}");
        }
        assert!(hints.contains(&format!("ksit target {} -n {NAMESPACE}", CLUSTERS[0])));
    }
}
