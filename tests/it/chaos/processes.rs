//! Replicas die, freeze, double, leave and come back.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, Patch, PatchParams};
use loadtest::run::NAMESPACE;
use nix::sys::signal::Signal;
use serde_json::json;

use super::{AFTER_A_DEATH, TAKEN_OVER, check_truth, kept, leader, owned_by, prepare, stayed_true, tell};
use crate::kit::{eventually, until_ended};

#[tokio::test]
async fn replicas_survive_kill_freeze_and_duplicate() {
    let mut fleet = prepare().await;
    fleet.scale_up(3).await.unwrap();
    let map = owned_by(&fleet, &[0, 1, 2]).await;
    tell(&fleet, 0).await;
    let truth = check_truth(&fleet).await;

    // The coordinator dies in the middle of a wave of writes.
    let coordinator = leader(&map);
    fleet.break_first(40).unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    fleet.replicas.kill(coordinator);
    let rest: Vec<u32> = (0..3).filter(|ordinal| *ordinal != coordinator).collect();
    let map = owned_by(&fleet, &rest).await;
    tell(&fleet, 40).await;
    fleet.scale_up(3).await.unwrap();
    owned_by(&fleet, &[0, 1, 2]).await;
    stayed_true("the coordinator dies", &truth, AFTER_A_DEATH).await;

    // A worker stands still for longer than its Lease, and finds itself dead when it wakes.
    let worker = rest.into_iter().find(|ordinal| *ordinal != leader(&map)).unwrap();
    fleet.replicas.replica(worker).unwrap().signal(Signal::SIGSTOP).unwrap();
    let others: Vec<u32> = (0..3).filter(|ordinal| *ordinal != worker).collect();
    owned_by(&fleet, &others).await;
    tell(&fleet, 10).await;
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
    owned_by(&fleet, &[0, 1, 2]).await;
    stayed_true("a worker freezes", &truth, AFTER_A_DEATH).await;

    // A second process in the same Pod: it takes the place of the first, which ends.
    let twin = fleet.replicas.start_twin(worker).unwrap();
    let mut first = fleet.replicas.take(worker).unwrap();
    until_ended(&mut first).await;
    owned_by(&fleet, &[0, 1, 2]).await;
    tell(&fleet, 30).await;
    stayed_true("a worker doubles", &truth, AFTER_A_DEATH).await;
    drop(twin);
    kept(&fleet);
}

#[tokio::test]
async fn scaling_one_to_ten_to_two_keeps_statuses_true() {
    let mut fleet = prepare().await;
    fleet.scale_up(1).await.unwrap();
    owned_by(&fleet, &[0]).await;
    tell(&fleet, 0).await;
    let truth = check_truth(&fleet).await;
    fleet.scale_up(10).await.unwrap();
    owned_by(&fleet, &(0..10).collect::<Vec<_>>()).await;
    tell(&fleet, 20).await;
    stayed_true("one becomes ten", &truth, TAKEN_OVER).await;

    // Eight are asked to leave at the same moment.
    fleet.replicas.want(2).await.unwrap();
    let leaving: Vec<_> = (2..10).map(|ordinal| fleet.replicas.take(ordinal).unwrap()).collect();
    let ends = leaving.into_iter().map(|process| process.stop(Duration::from_secs(60)));
    for ended in futures::future::join_all(ends).await {
        ended.unwrap().expect("it ends by itself");
    }
    owned_by(&fleet, &[0, 1]).await;
    tell(&fleet, 5).await;
    stayed_true("ten become two", &truth, TAKEN_OVER).await;

    // A rolling restart: nothing moves.
    let before = fleet.division().await.unwrap();
    fleet.count = 2;
    for ordinal in [1, 0] {
        let process = fleet.replicas.take(ordinal).unwrap();
        process.stop(Duration::from_secs(60)).await.unwrap().expect("it ends by itself");
        fleet.replicas.start(ordinal).await.unwrap();
        fleet.until_replaced(&before, ordinal).await.unwrap();
        fleet.settle().await.unwrap();
    }
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());
    tell(&fleet, 0).await;
    stayed_true("rolling restart", &truth, TAKEN_OVER).await;
    kept(&fleet);
}

/// The Lease is given by hand to another replica while the coordinator stands still for a moment: when it goes on, it
/// still has time left on its claim, and statuses to write.
#[tokio::test]
async fn forced_second_coordinator_breaks_no_invariant() {
    let mut fleet = prepare().await;
    fleet.scale_up(2).await.unwrap();
    tell(&fleet, 0).await;
    let truth = check_truth(&fleet).await;
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    for broken in [60, 0, 40, 20] {
        let map = owned_by(&fleet, &[0, 1]).await;
        let (old, new) = (leader(&map), 1 - leader(&map));
        let process = &map.map.members[format!("ksit-{new}").as_str()];
        fleet.break_first(broken).unwrap();
        fleet.replicas.replica(old).unwrap().signal(Signal::SIGSTOP).unwrap();
        let forced = json!({ "spec": { "holderIdentity": process.to_string() } });
        leases.patch("ksit-coordinator", &PatchParams::default(), &Patch::Merge(&forced)).await.unwrap();
        eventually("the other to claim the next term", async || {
            let now = owned_by(&fleet, &[0, 1]).await;
            (now.map.term > map.map.term && leader(&now) == new).then_some(())
        })
        .await;
        fleet.replicas.replica(old).unwrap().signal(Signal::SIGCONT).unwrap();
        tell(&fleet, broken).await;
        stayed_true("two coordinators", &truth, AFTER_A_DEATH).await;
    }
    fleet.replicas.check().unwrap();
    kept(&fleet);
}
