//! Replicas die, freeze, run twice, leave and return.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use loadtest::run::NAMESPACE;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{
    FAILOVER, TAKEOVER, assert_no_violations, assert_stayed_true, break_and_wait, check_truth, leader, prepare,
    until_owned_by,
};
use crate::kit::{eventually, until_ended};

#[tokio::test]
async fn replicas_survive_kill_freeze_and_duplicate() {
    let mut fleet = prepare().await;
    fleet.scale_up(3).await.unwrap();
    let map = until_owned_by(&fleet, &[0, 1, 2]).await;
    break_and_wait(&fleet, 0).await;
    let truth = check_truth(&fleet).await;

    // The coordinator dies during a wave of writes.
    let coordinator = leader(&map);
    fleet.break_first(40).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    fleet.replicas.kill(coordinator);
    let rest: Vec<u32> = (0..3).filter(|ordinal| *ordinal != coordinator).collect();
    let map = until_owned_by(&fleet, &rest).await;
    break_and_wait(&fleet, 40).await;
    fleet.scale_up(3).await.unwrap();
    until_owned_by(&fleet, &[0, 1, 2]).await;
    assert_stayed_true("the coordinator dies", &truth, FAILOVER).await;

    // A worker freezes for longer than its Lease, and finds the Lease taken when it wakes.
    let worker = rest.into_iter().find(|ordinal| *ordinal != leader(&map)).unwrap();
    fleet.replicas.replica(worker).unwrap().signal(Signal::SIGSTOP).unwrap();
    let others: Vec<u32> = (0..3).filter(|ordinal| *ordinal != worker).collect();
    until_owned_by(&fleet, &others).await;
    break_and_wait(&fleet, 10).await;
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let name = format!("ksit-{worker}");
    eventually("its Lease to be taken", async || {
        let holder = leases.get(&name).await.unwrap().spec?.holder_identity?;
        (!holder.starts_with(&name)).then_some(())
    })
    .await;
    let mut frozen = fleet.replicas.take(worker).unwrap();
    frozen.signal(Signal::SIGCONT).unwrap();
    until_ended(&mut frozen).await;
    fleet.scale_up(3).await.unwrap();
    until_owned_by(&fleet, &[0, 1, 2]).await;
    assert_stayed_true("a worker freezes", &truth, FAILOVER).await;

    // A second process in the same Pod replaces the first, which exits.
    let twin = fleet.replicas.start_twin(worker).unwrap();
    let mut first = fleet.replicas.take(worker).unwrap();
    until_ended(&mut first).await;
    until_owned_by(&fleet, &[0, 1, 2]).await;
    break_and_wait(&fleet, 30).await;
    assert_stayed_true("a worker doubles", &truth, FAILOVER).await;
    drop(twin);
    assert_no_violations(&fleet);
}

#[tokio::test]
async fn scaling_one_to_ten_to_two_keeps_statuses_true() {
    let mut fleet = prepare().await;
    fleet.scale_up(1).await.unwrap();
    until_owned_by(&fleet, &[0]).await;
    break_and_wait(&fleet, 0).await;
    let truth = check_truth(&fleet).await;
    fleet.scale_up(10).await.unwrap();
    until_owned_by(&fleet, &(0..10).collect::<Vec<_>>()).await;
    break_and_wait(&fleet, 20).await;
    assert_stayed_true("one becomes ten", &truth, TAKEOVER).await;

    // Eight replicas receive SIGTERM at the same moment.
    fleet.replicas.want(2).await.unwrap();
    let leaving: Vec<_> = (2..10).map(|ordinal| fleet.replicas.take(ordinal).unwrap()).collect();
    let ends = leaving.into_iter().map(|process| process.stop(Duration::from_secs(60)));
    for ended in futures::future::join_all(ends).await {
        ended.unwrap().expect("exits by itself");
    }
    until_owned_by(&fleet, &[0, 1]).await;
    break_and_wait(&fleet, 5).await;
    assert_stayed_true("ten become two", &truth, TAKEOVER).await;

    // A rolling restart: nothing moves.
    let before = fleet.division().await.unwrap();
    fleet.count = 2;
    for ordinal in [1, 0] {
        let process = fleet.replicas.take(ordinal).unwrap();
        process.stop(Duration::from_secs(60)).await.unwrap().expect("exits by itself");
        fleet.replicas.start(ordinal).await.unwrap();
        fleet.until_replaced(&before, ordinal).await.unwrap();
        fleet.settle().await.unwrap();
    }
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());
    break_and_wait(&fleet, 0).await;
    assert_stayed_true("rolling restart", &truth, TAKEOVER).await;
    assert_no_violations(&fleet);
}

/// The Lease is handed to another replica by force while the coordinator is frozen for a moment: when it resumes, its
/// claim is still valid, and it has statuses to write.
#[tokio::test]
async fn forced_second_coordinator_breaks_no_invariant() {
    let mut fleet = prepare().await;
    fleet.scale_up(2).await.unwrap();
    break_and_wait(&fleet, 0).await;
    let truth = check_truth(&fleet).await;
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    for broken in [60, 0, 40, 20] {
        let map = until_owned_by(&fleet, &[0, 1]).await;
        let (old, new) = (leader(&map), 1 - leader(&map));
        let process = &map.map.members[format!("ksit-{new}").as_str()];
        fleet.break_first(broken).unwrap();
        fleet.replicas.replica(old).unwrap().signal(Signal::SIGSTOP).unwrap();
        let forced = json!({ "spec": { "holderIdentity": process.to_string() } });
        leases.patch("ksit-coordinator", &PatchParams::default(), &Patch::Merge(&forced)).await.unwrap();
        eventually("the other to claim the next term", async || {
            let now = until_owned_by(&fleet, &[0, 1]).await;
            (now.map.term > map.map.term && leader(&now) == new).then_some(())
        })
        .await;
        fleet.replicas.replica(old).unwrap().signal(Signal::SIGCONT).unwrap();
        break_and_wait(&fleet, broken).await;
        assert_stayed_true("two coordinators", &truth, FAILOVER).await;
    }
    fleet.replicas.check().unwrap();
    assert_no_violations(&fleet);
}
