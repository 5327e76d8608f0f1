//! The network loses or holds what replicas send.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use loadtest::checker::check;
use loadtest::faulty_proxy::{FaultyProxy, Upstream};
use loadtest::installation::Tuning;
use loadtest::run::Fleet;
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{AFTER_A_DEATH, check_truth, kept, leader, owned_by, prepare, stayed_true, tell};
use crate::kit::{eventually, until_ended};

/// A fleet of two, each of which finds the hub through a proxy of its own.
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
    owned_by(&fleet, &[0, 1]).await;
    tell(&fleet, 0).await;
    (fleet, proxies)
}

/// The coordinator can't renew its Lease, and freezes 3 s later.
const HELD: Duration = AFTER_A_DEATH.saturating_add(Duration::from_secs(3));

/// The coordinator sends statuses, which the network holds until another one leads and everything is as it was before.
async fn writes_of_a_former_coordinator_arrive(fleet: &mut Fleet, proxies: &[FaultyProxy]) {
    let map = owned_by(fleet, &[0, 1]).await;
    let (old, new) = (leader(&map), 1 - leader(&map));
    proxies[old as usize].set(Upstream::Waits);
    fleet.break_first(60).unwrap();
    sleep(Duration::from_secs(3)).await;
    fleet.replicas.replica(old).unwrap().signal(Signal::SIGSTOP).unwrap();
    fleet.break_first(0).unwrap();
    let map = owned_by(fleet, &[new]).await;
    assert!(map.map.term.0 > 1);
    tell(fleet, 0).await;
    // By then the API server has known of the claim for long.
    sleep(Duration::from_secs(3)).await;
    proxies[old as usize].set(Upstream::Passes);
    // Whatever arrived is mended.
    sleep(Duration::from_secs(2)).await;
    tell(fleet, 0).await;
    let mut process = fleet.replicas.take(old).unwrap();
    process.signal(Signal::SIGCONT).unwrap();
    until_ended(&mut process).await;
}

#[tokio::test]
async fn late_writes_of_a_former_coordinator_are_refused() {
    let (mut fleet, proxies) = behind_proxies().await;
    let truth = check_truth(&fleet).await;
    writes_of_a_former_coordinator_arrive(&mut fleet, &proxies).await;
    stayed_true("a coordinator's writes are held", &truth, HELD).await;
    let checked = kept(&fleet);
    assert!(checked.refused > 0, "something arrived: {checked:?}");
}

#[tokio::test]
async fn checker_finds_late_writes_without_the_fence() {
    let (mut fleet, proxies) = behind_proxies().await;
    fleet.replicas.take_fence_off().await.unwrap();
    writes_of_a_former_coordinator_arrive(&mut fleet, &proxies).await;
    let checked = check(&fleet.hub.audit(), None).unwrap();
    let of_old_terms =
        checked.violations.iter().filter(|violation| violation.contains("was claimed; repaired")).count();
    assert!(of_old_terms > 0, "{checked:?}");
}

/// Workers reach the coordinator through a proxy that loses all they send, for good. The way back is fine.
#[tokio::test]
async fn coordinator_that_receives_no_reports_resigns() {
    let mut fleet = prepare().await;
    let reports = Ipv4Addr::new(127, 0, 0, 2);
    let mut proxies = Vec::new();
    for ordinal in 0..3 {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let service = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        proxies.push(FaultyProxy::start(SocketAddr::from((reports, port)), service).await.unwrap());
        let flags = vec![format!("--report-bind-address={service}"), format!("--report-address={reports}")];
        fleet.replicas.tune(ordinal, Tuning { flags, ..Tuning::default() });
    }
    fleet.scale_up(3).await.unwrap();
    let map = owned_by(&fleet, &[0, 1, 2]).await;
    tell(&fleet, 30).await;
    let truth = check_truth(&fleet).await;
    let deaf = leader(&map);
    proxies[deaf as usize].set(Upstream::IsLost);
    let next = eventually("another one to lead", async || {
        let map = owned_by(&fleet, &[0, 1, 2]).await;
        (leader(&map) != deaf).then_some(map)
    })
    .await;
    assert!(next.map.term > map.map.term);
    // The loss goes on, and everybody is heard, the deaf one as a worker too.
    tell(&fleet, 10).await;
    stayed_true("a coordinator hears nobody", &truth, AFTER_A_DEATH).await;
    fleet.replicas.check().unwrap();
    kept(&fleet);
}
