//! Connections to the report port that never send anything.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::{HostileFleet, REPLICAS, TIMEOUT};
use crate::kit::{eventually, with_validation};

const CONNECTIONS: u32 = 200;

/// Time-out for a worker to report during the flood; a busy machine takes a few seconds to start it.
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
        fleet.assert_endures(&format!("silent connections from {origin}"), &truth, Duration::from_secs(10)).await;
        let before = links(&fleet, leader, worker);
        fleet.replicas.start(worker).await.unwrap();
        let reports =
            eventually("the worker to report", async || (links(&fleet, leader, worker) > before).then_some(()));
        let in_time = timeout(SOON, reports).await;
        assert!(in_time.is_ok(), "silent connections from {origin}:\n{}", fleet.replicas.log(worker));
        truth.until_right(TIMEOUT).await.unwrap();
    }
}

fn many(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 9, 0, 1)) + number)
}

fn one(_: u32) -> Ipv4Addr {
    Ipv4Addr::new(127, 9, 9, 9)
}

/// Number of sessions that the worker has opened.
fn links(fleet: &HostileFleet, coordinator: u32, worker: u32) -> usize {
    fleet.replicas.log(coordinator).matches(&format!("worker connected replica=ksit-{worker}")).count()
}

/// Holds a silent connection from `source` open, and opens another whenever it is closed.
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
