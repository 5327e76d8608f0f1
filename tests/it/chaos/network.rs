//! A network that drops or delays the replicas' traffic.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use loadtest::checker::check;
use loadtest::run::Fleet;
use nix::sys::signal::Signal;
use testkit::faulty_proxy::{FaultyProxy, Upstream};
use testkit::installation::Tuning;
use testkit::port::Port;
use tokio::time::sleep;

use super::{
    FAILOVER, assert_no_violations, assert_stayed_true, break_and_wait, check_truth, leader, prepare, until_owned_by,
};
use crate::kit::{eventually, until_ended};

/// A fleet of two replicas, each of which reaches the hub through its own proxy.
async fn behind_proxies() -> (Fleet, Vec<FaultyProxy>) {
    let mut fleet = prepare().await;
    let hub: SocketAddr = fleet.hub.url().trim_start_matches("https://").parse().unwrap();
    let mut proxies = Vec::new();
    for ordinal in 0..2 {
        let proxy = FaultyProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), hub).await.unwrap();
        let hub_url = Some(format!("https://{}", proxy.address()));
        fleet.replicas.tune(ordinal, Tuning { hub_url, ..Tuning::default() });
        proxies.push(proxy);
    }
    fleet.scale_up(2).await.unwrap();
    until_owned_by(&fleet, &[0, 1]).await;
    break_and_wait(&fleet, 0).await;
    (fleet, proxies)
}

/// Longest time that a status may be wrong: the coordinator can't renew its Lease, and freezes 3 s later.
const HELD_BOUND: Duration = FAILOVER.saturating_add(Duration::from_secs(3));

/// Holds the coordinator's status writes in the network until another one leads and has restored every status.
async fn deliver_late_writes(fleet: &mut Fleet, proxies: &[FaultyProxy]) {
    let map = until_owned_by(fleet, &[0, 1]).await;
    let (old, new) = (leader(&map), 1 - leader(&map));
    proxies[old as usize].set(Upstream::Waits);
    fleet.break_first(60).unwrap();
    sleep(Duration::from_secs(3)).await;
    fleet.replicas.replica(old).unwrap().signal(Signal::SIGSTOP).unwrap();
    fleet.break_first(0).unwrap();
    let map = until_owned_by(fleet, &[new]).await;
    assert!(map.map.term.0 > 1);
    break_and_wait(fleet, 0).await;
    // The API server has seen the claim long before these writes.
    sleep(Duration::from_secs(3)).await;
    proxies[old as usize].set(Upstream::Passes);
    // Writes that got through are repaired.
    sleep(Duration::from_secs(2)).await;
    break_and_wait(fleet, 0).await;
    let mut process = fleet.replicas.take(old).unwrap();
    process.signal(Signal::SIGCONT).unwrap();
    until_ended(&mut process).await;
}

#[tokio::test]
async fn late_writes_of_a_former_coordinator_are_refused() {
    let (mut fleet, proxies) = behind_proxies().await;
    let truth = check_truth(&fleet).await;
    deliver_late_writes(&mut fleet, &proxies).await;
    assert_stayed_true("a coordinator's writes are held", &truth, HELD_BOUND).await;
    let checked = assert_no_violations(&fleet);
    assert!(checked.refused > 0, "some late writes arrived: {checked:?}");
}

#[tokio::test]
async fn checker_finds_late_writes_without_the_fence() {
    let (mut fleet, proxies) = behind_proxies().await;
    fleet.replicas.take_fence_off().await.unwrap();
    deliver_late_writes(&mut fleet, &proxies).await;
    let checked = check(&fleet.hub.audit(), None).unwrap();
    let stale_writes =
        checked.violations.iter().filter(|violation| violation.contains("was claimed; repaired")).count();
    assert!(stale_writes > 0, "{checked:?}");
}

/// Workers reach the coordinator through a proxy that drops all they send, for good. The way back works.
#[tokio::test]
async fn coordinator_that_receives_no_reports_resigns() {
    let mut fleet = prepare().await;
    let reports = Ipv4Addr::new(127, 0, 0, 2);
    let (mut ports, mut proxies) = (Vec::new(), Vec::new());
    for ordinal in 0..3 {
        ports.push(Port::reserve().unwrap());
        let port = ports.last().unwrap().number();
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        proxies.push(FaultyProxy::start(SocketAddr::from((reports, port)), service).await.unwrap());
        let flags = vec![format!("--report-bind-address={service}"), format!("--report-address={reports}")];
        fleet.replicas.tune(ordinal, Tuning { flags, ..Tuning::default() });
    }
    fleet.scale_up(3).await.unwrap();
    let map = until_owned_by(&fleet, &[0, 1, 2]).await;
    break_and_wait(&fleet, 30).await;
    let truth = check_truth(&fleet).await;
    let deaf = leader(&map);
    proxies[deaf as usize].set(Upstream::IsLost);
    let next = eventually("another one to lead", async || {
        let map = until_owned_by(&fleet, &[0, 1, 2]).await;
        (leader(&map) != deaf).then_some(map)
    })
    .await;
    assert!(next.map.term > map.map.term);
    // The loss persists, and all replicas report again, the former coordinator as a worker.
    break_and_wait(&fleet, 10).await;
    assert_stayed_true("a coordinator receives no reports", &truth, FAILOVER).await;
    fleet.replicas.check().unwrap();
    assert_no_violations(&fleet);
}
