//! Connections to the report port that say nothing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{HostileFleet, PATIENCE, REPLICAS};
use crate::kit::{eventually, with_validation};

const CONNECTIONS: u32 = 200;

/// For a worker to report while the flood lasts; a busy machine takes a few seconds to start it.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a12_silent_connections_keep_no_worker_from_reporting() {
    let _validation = with_validation().await;
    let mut fleet = HostileFleet::start("a12-silent", 20).await;
    let truth = fleet.check_truth(0..20).await;
    let coordinator = fleet.map().await.unwrap().spec.coordinator;
    let port: SocketAddr = coordinator.address.unwrap().parse().unwrap();
    let leader: u32 = coordinator.name.trim_start_matches("ksit-").parse().unwrap();
    let worker = (leader + 1) % REPLICAS;
    for (origin, source) in [("many addresses", many as fn(u32) -> Ipv4Addr), ("one address", one)] {
        let mut flood = JoinSet::new();
        (0..CONNECTIONS).for_each(|number| drop(flood.spawn(hold_silently(source(number), port))));
        fleet.endures(&format!("silent connections from {origin}"), &truth, Duration::from_secs(10)).await;
        let before = links(&fleet, leader, worker);
        fleet.replicas.start(worker).await.unwrap();
        let reports =
            eventually("the worker to report", async || (links(&fleet, leader, worker) > before).then_some(()));
        let in_time = timeout(SOON, reports).await;
        assert!(in_time.is_ok(), "silent connections from {origin}:\n{}", fleet.replicas.log(worker));
        truth.until_right(PATIENCE).await.unwrap();
    }
}

fn many(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 9, 0, 1)) + number)
}

fn one(_: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 9, 9, 9)
}

/// How often the worker has begun to report.
fn links(fleet: &HostileFleet, coordinator: u32, worker: u32) -> usize {
    fleet.replicas.log(coordinator).matches(&format!("worker connected replica=ksit-{worker}")).count()
}

/// Holds a connection from `source` open and says nothing; for ever, a new one after each.
async fn hold_silently(source: Ipv4Addr, port: SocketAddr) {
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(IpAddr::V4(source), 0)).unwrap();
        if let Ok(mut connection) = socket.connect(port).await {
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
        sleep(Duration::from_millis(50)).await;
    }
}
