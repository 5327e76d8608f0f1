//! The commands that read the hub, run as a user would run them.

use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::kit::{World, hub, install_flux, target, with_validation, without_validation};

async fn ksit(args: &[&str]) -> Output {
    let kubeconfig = hub().await.kubeconfig_path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    command.args(args).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap()
}

async fn printed(args: &[&str]) -> String {
    let output = ksit(args).await;
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn fleet_shows_worst_first_and_target_shows_broken_parts() {
    let namespace = "hub-commands";
    let mut world = World::new(namespace).await;
    let workloads = install_flux(namespace).await;
    workloads.scale("Deployment", namespace, "helm-controller", 0).await.unwrap();
    world.target("one", &target().await.kubeconfig()).await;
    let config = json!({ "namespace": namespace });
    world
        .integration(
            "a-flux",
            json!({ "type": "flux", "targetClusters": ["one"],
        "config": { "namespace": namespace, "ignore": "helm-controller" } }),
        )
        .await;
    world.integration("b-flux", json!({ "type": "flux", "targetClusters": ["one"], "config": config })).await;
    world.start_operator(&[]).await;
    world.until_phase("a-flux", "Running").await;
    world.until_phase("b-flux", "Failed").await;

    let fleet = printed(&["fleet", "-n", namespace]).await;
    let lines: Vec<Vec<&str>> = fleet.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..5], ["NAMESPACE", "INTEGRATION", "TYPE", "PHASE", "HEALTHY"]);
    assert_eq!(lines[1][..7], [namespace, "b-flux", "flux", "Failed", "0/1", "0", "1"], "worst first");
    assert_eq!(lines[2][..7], [namespace, "a-flux", "flux", "Running", "1/1", "0", "0"]);
    let data: Value = serde_json::from_str(&printed(&["fleet", "-n", namespace, "-o", "json"]).await).unwrap();
    assert_eq!((&data[0]["name"], &data[0]["targets"]["failed"]), (&json!("b-flux"), &json!(1)));
    assert!(printed(&["fleet", "-A", "-o", "wide"]).await.contains("helm-controller is scaled to 0"));
    assert!(printed(&["fleet", "-n", namespace, "-o", "yaml"]).await.contains("phase: Failed"));

    let one = printed(&["target", "one", "-n", namespace]).await;
    for words in ["Name:       hub-commands/one", "Reachable:  True (Connected)", "Replica:    ksit-0"] {
        assert!(one.contains(words), "{words}\n{one}");
    }
    assert!(
        one.contains("  helm-controller") && !one.contains("  source-controller"),
        "only broken components are listed:\n{one}"
    );
    assert!(printed(&["target", "one", "-n", namespace, "-o", "wide"]).await.contains("  source-controller"));

    let clusters = printed(&["clusters", "-n", namespace]).await;
    let lines: Vec<Vec<&str>> = clusters.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAMESPACE", "CLUSTER", "PHASE", "A-FLUX", "B-FLUX"]);
    assert_eq!(lines[1], [namespace, "one", "Failed", "Running", "Failed"]);
    assert_eq!(printed(&["clusters", "-n", namespace, "--phase", "Running"]).await.lines().count(), 1, "the heading");
    let problems = ksit(&["problems", "-n", namespace, "-o", "json"]).await;
    assert_eq!(problems.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&problems.stdout).unwrap();
    assert_eq!((&found[0]["type"], &found[0]["clusters"]), (&json!("flux"), &json!(["hub-commands/one"])));

    let late = ksit(&["wait", "--for", "healthy", "--timeout", "1s", "-n", namespace]).await;
    assert_eq!(late.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&late.stderr).contains("0 of 1 clusters; waiting for one"));
    workloads.scale("Deployment", namespace, "helm-controller", 1).await.unwrap();
    let done = printed(&["wait", "--for", "healthy", "one", "--timeout", "60s", "-n", namespace]).await;
    assert_eq!(done, "1 of 1 clusters\n");
    assert_eq!(printed(&["problems", "-n", namespace]).await, "nothing is wrong\n");

    let missing = ksit(&["target", "moon", "-n", namespace]).await;
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("there is no IntegrationTarget moon"));
}

/// Such an object was written before the CRD had its validation.
#[tokio::test]
async fn unreadable_integration_hides_no_other() {
    let world = World::new("hub-unreadable").await;
    world.integration("good", json!({ "type": "flux", "targetClusters": ["one"] })).await;
    without_validation(async || {
        world.apply("Integration", "bad", json!({ "type": "flux", "enabled": "perhaps" })).await.unwrap();
    })
    .await;
    let wide = printed(&["fleet", "-n", "hub-unreadable", "-o", "wide"]).await;
    let line = |name: &str| wide.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{wide}"));
    // Initializing or Unknown: installations of other tests may or may not watch this namespace.
    let good: Vec<&str> = line(" good ").split_whitespace().take(3).collect();
    assert_eq!(good, ["hub-unreadable", "good", "flux"], "{wide}");
    assert!(!line(" good ").contains("can't be read"), "{wide}");
    assert!(line(" bad ").contains("Unknown") && line(" bad ").contains("expected a boolean"), "{wide}");
}

#[tokio::test]
async fn shards_not_settled_in_time_are_an_error() {
    World::new("unsettled").await;
    let output = ksit(&["shards", "-n", "unsettled", "--settled-within=1s"]).await;
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("No ShardMap found") && error.contains("not settled within 1 s"), "{text}{error}");
}

#[tokio::test]
async fn version_compares_the_crds_of_the_hub() {
    hub().await;
    let strict = with_validation().await;
    let data: Value = serde_json::from_str(&printed(&["version", "-o", "json"]).await).unwrap();
    drop(strict);
    assert_eq!(data["client"]["version"], env!("CARGO_PKG_VERSION"));
    assert!(data["hub"]["kubernetes"].as_str().unwrap().starts_with("v1."), "{data}");
    let crds = data["hub"]["crds"].as_array().unwrap();
    assert_eq!(crds.len(), ksit::api::crds::all().len());
    for crd in crds {
        assert_eq!((&crd["served"], &crd["stored"]), (&json!(["v1alpha1"]), &json!(["v1alpha1"])), "{crd}");
        assert_eq!(crd["schema"], "as in this program", "{crd}");
    }

    without_validation(async || {
        let text = printed(&["version"]).await;
        let line = text.lines().find(|line| line.starts_with("integrations.ksit.io")).unwrap();
        assert!(line.ends_with("another than in this program"), "{text}");
    })
    .await;
}

#[tokio::test]
async fn version_without_a_hub_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let run = async |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
        command.args(args).arg("--kubeconfig").arg(folder.path().join("none")).output().await.unwrap()
    };
    let output = run(&["version"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{text}");
    assert!(text.contains("hub       unknown: ") && text.contains("none"), "{text}");
    let client: Value = serde_json::from_slice(&run(&["version", "--client", "-o", "json"]).await.stdout).unwrap();
    assert!(client["hub"].is_null() && client["client"]["rust"].is_string(), "{client}");
}
