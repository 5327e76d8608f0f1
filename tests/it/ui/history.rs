//! `ksit ui --history`: nothing is lost when the page is killed.

use std::process::Output;

use jiff::Timestamp;
use ksit::api::IntegrationTarget;
use kube::api::{Api, Patch, PatchParams};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::process::Command;

use super::kit::{Ui, cluster};
use crate::kit::{World, eventually, hub, with_validation};

/// Breaks or mends the tool on a cluster as the coordinator would, with the changes in the status.
async fn change(world: &World, name: &str, phase: &str, changes: &mut Vec<Value>) {
    let time = Timestamp::now().to_string();
    let from = if phase == "Failed" { "Running" } else { "Failed" };
    changes.push(json!({ "time": time, "integration": "argocd", "from": from, "to": phase, "reason": "Test" }));
    let shown = &changes[changes.len().saturating_sub(20)..];
    let status = json!({ "status": { "phase": phase, "lastTransitionTime": time, "history": shown,
        "integrations": [{ "name": "argocd", "type": "argocd", "phase": phase, "reason": "Test",
            "lastTransitionTime": time }] } });
    let api: Api<IntegrationTarget> = Api::namespaced(world.client.clone(), &world.namespace);
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
}

async fn ksit(args: &[&str]) -> Output {
    let kubeconfig = hub().await.kubeconfig_path();
    Command::new(env!("CARGO_BIN_EXE_ksit")).args(args).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap()
}

#[tokio::test]
async fn changes_survive_a_killed_page() {
    let _validation = with_validation().await;
    let (world, dir) = (World::new("ui-history").await, tempfile::tempdir().unwrap());
    let file = dir.path().join("history.db").display().to_string();
    cluster(&world, "berlin", "Running", "").await;
    let flags = ["-n", "ui-history", "--history", &file];
    let mut changes = Vec::new();
    for round in 0..3 {
        let ui = Ui::start(&flags).await;
        let session = ui.open().await;
        for _ in 0..3 {
            change(&world, "berlin", "Failed", &mut changes).await;
            change(&world, "berlin", "Running", &mut changes).await;
        }
        if round == 0 {
            eventually("the first changes to be recorded", async || {
                let found: Value = serde_json::from_str(&ui.get("/api/v1/history", &[&session]).await.body).ok()?;
                (!found["changes"].as_array()?.is_empty()).then_some(())
            })
            .await;
            let page = ui.get("/history", &[&session]).await.body;
            assert!(page.contains("Availability") && page.contains("argocd"), "{page}");
            let second = ksit(&["ui", "-n", "ui-history", "--history", &file]).await;
            let words = String::from_utf8_lossy(&second.stderr).into_owned();
            assert!(second.status.code() == Some(2) && words.contains("in use by another process"), "{words}");
        }
        // In the middle of whatever it writes.
        ui.signal(Signal::SIGKILL);
        change(&world, "berlin", "Failed", &mut changes).await;
        change(&world, "berlin", "Running", &mut changes).await;
    }
    let ui = Ui::start(&flags).await;
    let recorded = eventually("all changes to be recorded", async || {
        let output =
            ksit(&["history", "berlin", "--file", &file, "-o", "json", "--type", "argocd", "--since", "3650d"]).await;
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
        (found.len() > changes.len()).then_some(found)
    })
    .await;
    let phases: Vec<&str> = recorded.iter().rev().filter_map(|change| change["phase"].as_str()).collect();
    assert!(!phases.contains(&"Unknown"), "nothing was missed: {phases:?}");
    assert_eq!(phases.len(), changes.len() + 1, "each change once, after the first sight");
    let of_status = ksit(&["history", "berlin", "-n", "ui-history", "-o", "csv"]).await;
    assert_eq!(String::from_utf8_lossy(&of_status.stdout).lines().count(), 21, "the last 20, and the head");
    drop(ui);
}
