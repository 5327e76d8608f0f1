//! The hub goes away: its API server, etcd alone, or it hangs.

use std::time::Duration;

use tokio::time::sleep;

use super::{PATIENCE, kept, owned_by, prepare, tell};

/// Much longer than a Lease.
const OUTAGE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_outage_of_the_hub_moves_nothing_and_loses_nothing() {
    let mut fleet = prepare().await;
    fleet.scale_up(3).await.unwrap();
    owned_by(&fleet, &[0, 1, 2]).await;
    tell(&fleet, 0).await;
    let before = fleet.division().await.unwrap();

    fleet.hub.stop_api_server();
    fleet.simulator.break_first(30);
    sleep(OUTAGE).await;
    assert!(fleet.simulator.longest_unasked() < Duration::from_secs(20), "checks go on");
    fleet.hub.start_api_server().await.unwrap();
    fleet.until_phases(30, PATIENCE).await.unwrap();
    owned_by(&fleet, &[0, 1, 2]).await;
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());

    fleet.hub.stop_etcd();
    fleet.simulator.break_first(10);
    sleep(OUTAGE).await;
    assert!(fleet.simulator.longest_unasked() < Duration::from_secs(20), "checks go on");
    fleet.hub.start_etcd().await.unwrap();
    fleet.until_phases(10, PATIENCE).await.unwrap();
    owned_by(&fleet, &[0, 1, 2]).await;
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());

    // It hangs: connections stay, nothing is answered.
    fleet.hub.freeze_api_server(true).unwrap();
    fleet.simulator.break_first(20);
    sleep(Duration::from_secs(20)).await;
    assert!(fleet.simulator.longest_unasked() < Duration::from_secs(10), "checks go on");
    fleet.hub.freeze_api_server(false).unwrap();
    fleet.until_phases(20, PATIENCE).await.unwrap();
    owned_by(&fleet, &[0, 1, 2]).await;
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());
    fleet.replicas.check().unwrap();
    kept(&fleet);
}
