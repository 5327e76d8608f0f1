//! Without a coordinator the commands show the age of their data.

use std::process::Output;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::kit::{Fleet, eventually, hub, with_validation};

async fn ksit(args: &[&str]) -> Output {
    let kubeconfig = hub().await.kubeconfig_path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksit"));
    command.args(args).arg("--kubeconfig").arg(kubeconfig).output().await.unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

const NAMESPACE: &str = "a9-age";

/// Age of the oldest observation in seconds. A replica that has just joined has none.
async fn oldest() -> Option<u64> {
    let output = ksit(&["shards", "-n", NAMESPACE, "-o", "json"]).await;
    let maps: Value = serde_json::from_slice(&output.stdout).unwrap();
    let replicas = maps[0]["replicas"].as_array().unwrap();
    replicas.iter().filter_map(|replica| replica["oldestObservationSeconds"].as_u64()).max()
}

#[tokio::test]
async fn a9_age_counts_up_while_nobody_leads() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new(NAMESPACE, 2).await;
    fleet.settled(&[0, 1]).await;
    fleet.until_all("Running").await;
    for command in ["shards", "fleet"] {
        eventually("the check to succeed", async || {
            ksit(&[command, "-n", NAMESPACE, "--check"]).await.status.success().then_some(())
        })
        .await;
    }
    assert!(text(&ksit(&["fleet", "-n", NAMESPACE]).await).contains("as of "));
    eventually("a replica to have an age", oldest).await;

    fleet.replicas.kill(0);
    fleet.replicas.kill(1);
    let before = oldest().await.unwrap();
    tokio::time::sleep(Duration::from_secs(12)).await;
    let after = oldest().await.unwrap();
    // The hub's clock has whole seconds.
    assert!(after + 1 >= before + 12, "the oldest observation was {before} s old, and 12 s later {after} s");
    for command in ["shards", "fleet"] {
        let output = ksit(&[command, "-n", NAMESPACE, "--check"]).await;
        assert_eq!(output.status.code(), Some(1), "{command}: {output:?}");
        let shown = text(&output);
        assert!(shown.contains("no coordinator has written since ") && shown.contains(" ago)"), "{command}:\n{shown}");
    }
    let lines: Value = serde_json::from_slice(&ksit(&["fleet", "-n", NAMESPACE, "-o", "json"]).await.stdout).unwrap();
    assert!(lines[0]["ageSeconds"].as_u64().unwrap() + 1 >= 12, "{lines}");
}
