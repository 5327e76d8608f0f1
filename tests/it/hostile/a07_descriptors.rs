//! A replica runs out of file descriptors.

use std::time::Duration;

use serde_json::json;
use simulator::Simulator;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::kit::{World, condition, eventually, hub};

const CLUSTERS: u32 = 100;

async fn world(namespace: &str, simulator: &Simulator) -> World {
    hub().await;
    let world = World::new(namespace).await;
    for number in 0..simulator.clusters() {
        world.target(&format!("c{number}"), &simulator.kubeconfig(number)).await;
    }
    let spec = json!({ "type": "argocd", "targetSelector": {} });
    world.integration("argocd", spec).await;
    world
}

/// Targets reported as failed or unreachable, although all clusters are healthy.
async fn wrongly_failed(world: &World) -> Vec<String> {
    let all = world.targets().await;
    let is_failed = |phase: &str| phase == "Failed";
    let wrongly_failed = all.iter().filter(|target| {
        let status = target.status.as_ref();
        status.and_then(|status| status.phase.as_deref()).is_some_and(is_failed)
            || condition(target, "Reachable").is_some_and(|reach| {
                ["Unreachable", "ConnectFailed", "NameNotResolved"].contains(&reach.reason.as_str())
            })
    });
    wrongly_failed.map(|target| format!("{:?}", condition(target, "Reachable"))).collect()
}

#[tokio::test]
async fn a7_few_descriptors_blame_no_cluster() {
    let simulator = Simulator::start(CLUSTERS).await.unwrap();
    let mut world = world("a7-descriptors", &simulator).await;
    world.start_operator_with_files(64, &["--interval=1s", "--status-writes-per-second=1000"]).await;
    eventually("some clusters to be Running", async || {
        let all = world.targets().await;
        let is_well = |phase: Option<&str>| phase == Some("Running");
        let well = all.iter().filter(|t| is_well(t.status.as_ref().and_then(|s| s.phase.as_deref()))).count();
        (well >= 8).then_some(())
    })
    .await;
    // A failure shows after three failed rounds in a row.
    let end = Instant::now() + Duration::from_secs(15);
    while Instant::now() < end {
        let wrongly_failed = wrongly_failed(&world).await;
        assert!(
            wrongly_failed.is_empty(),
            "{} have failed wrongly, such as {:#?}\n{}",
            wrongly_failed.len(),
            wrongly_failed[0],
            world.log()
        );
        sleep(Duration::from_millis(500)).await;
    }
    assert!(world.log().contains("file descriptors"), "the log does not mention them:\n{}", world.log());
    let metrics = world.http_get("/metrics").await;
    for name in ["process_open_fds ", "process_max_fds 64", "TooManyOpenFiles"] {
        assert!(metrics.contains(name), "{name} is missing in\n{metrics}");
    }
    eventually("clusters without a free descriptor to be Unknown", async || {
        let all = world.targets().await;
        all.iter().any(|t| t.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Unknown")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a7_half_open_connections_do_not_stop_livez() {
    let simulator = Simulator::start(8).await.unwrap();
    let mut world = world("a7-livez", &simulator).await;
    world.start_operator_with_files(64, &[]).await;
    world.http_get("/livez").await;
    let address = world.operator_address().unwrap();
    let mut half_open = Vec::new();
    for _ in 0..80 {
        if let Ok(Ok(mut connection)) = timeout(Duration::from_secs(1), TcpStream::connect(&address)).await {
            let _ = connection.write_all(b"GET /metrics HTT").await;
            half_open.push(connection);
        }
    }
    for _ in 0..3 {
        let answer = timeout(Duration::from_secs(3), world.http_get("/livez")).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer beside {} half-open connections", half_open.len()));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        sleep(Duration::from_millis(300)).await;
    }
    sleep(Duration::from_secs(8)).await;
    let wrongly_failed = wrongly_failed(&world).await;
    assert!(wrongly_failed.is_empty(), "{wrongly_failed:#?}");
}

/// On many hosts the soft limit is 1,024, and the hard limit far higher.
#[tokio::test]
async fn a7_soft_limit_is_raised_at_start() {
    let simulator = Simulator::start(60).await.unwrap();
    let mut world = world("a7-soft", &simulator).await;
    world.start_operator_with_soft_files(48, &[]).await;
    eventually("all clusters to be Running", async || {
        let all = world.targets().await;
        all.iter().all(|t| t.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running")).then_some(())
    })
    .await;
    let log = world.log();
    assert!(log.contains("raised the file descriptor limit"), "{log}");
}
