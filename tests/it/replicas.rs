//! Several replicas share a fleet and survive each other.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use ksit::api::ShardMap;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::kit::{Fleet, World, eventually, install_flux, target, until_ended, with_validation};

#[tokio::test]
async fn replicas_share_the_fleet_and_survive_each_other() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("replicas", 3).await;
    let first = fleet.settled(&[0, 1, 2]).await;
    assert_eq!(first.map.check(), Ok(()));
    fleet.until_all("Running").await;
    let reporters: BTreeSet<String> =
        fleet.statuses().await.iter().filter_map(|target| target.status.as_ref()?.reported_by.clone()).collect();
    assert_eq!(reporters.len(), 3, "every replica reports: {reporters:?}\n{}", fleet.logs());

    // A worker dies: one write moves its slots to the others, which keep their own.
    let coordinator = Fleet::coordinator(&first);
    let worker = (0..3).find(|ordinal| *ordinal != coordinator).unwrap();
    fleet.replicas.kill(worker);
    let rest: Vec<u32> = (0..3).filter(|ordinal| *ordinal != worker).collect();
    let second = fleet.settled(&rest).await;
    assert_eq!((second.map.term, second.map.epoch), (first.map.term, first.map.epoch.next()));
    for name in second.map.members.keys() {
        assert!(first.map.shards.of(name).difference(&second.map.shards.of(name)).is_empty(), "{name} lost slots");
    }
    fleet.scale_flux(0).await;
    fleet.until_all("Failed").await;

    // The coordinator dies too: the last replica takes over with a higher term.
    fleet.replicas.kill(coordinator);
    let last = rest.into_iter().find(|ordinal| *ordinal != coordinator).unwrap();
    let third = fleet.settled(&[last]).await;
    assert!(third.map.term > second.map.term);
    fleet.scale_flux(1).await;
    fleet.until_all("Running").await;
    for target in fleet.statuses().await {
        let status = target.status.as_ref().unwrap();
        assert_eq!(status.coordinator_term, Some(third.map.term.0), "{}", target.name_any());
        assert_eq!(status.reported_by, Some(format!("ksit-{last}")));
    }

    // Both come back.
    for ordinal in [worker, coordinator] {
        fleet.replicas.start(ordinal).await.unwrap();
    }
    fleet.settled(&[0, 1, 2]).await;
    fleet.replicas.check().unwrap();
    fleet.assert_no_violations().await;
}

#[tokio::test]
async fn drifted_leases_and_map_are_repaired() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("drifted", 2).await;
    let first = fleet.settled(&[0, 1]).await;
    fleet.until_all("Running").await;
    let namespace = fleet.world.namespace.clone();
    let maps: Api<ShardMap> = Api::namespaced(fleet.world.client.clone(), &namespace);
    let leases: Api<Lease> = Api::namespaced(fleet.world.client.clone(), &namespace);
    let force = PatchParams::apply("somebody").force();

    // The map is deleted: it is written again, and no slot moves.
    maps.delete("ksit", &DeleteParams::default()).await.unwrap();
    let second = fleet.settled(&[0, 1]).await;
    assert_eq!((&second.map.shards, second.map.term), (&first.map.shards, first.map.term));
    assert!(second.map.epoch > first.map.epoch);

    // An edit, valid by the CRD's rules, gives all slots to one member: it is reverted. The coordinator writes the
    // map's status meanwhile, which may cause a conflict.
    eventually("an edit of the map", async || {
        let mut edited = maps.get("ksit").await.unwrap();
        edited.spec.epoch += 1;
        edited.spec.members[0].slots = "000-3ff".to_owned();
        edited.spec.members[1].slots = String::new();
        unless_conflict(maps.replace("ksit", &PostParams::default(), &edited).await)
    })
    .await;
    eventually("the map to be repaired", async || {
        fleet.map().await.is_some_and(|map| map.map.shards == first.map.shards).then_some(())
    })
    .await;

    // A member's Lease is deleted, then emptied: the member takes it back both times, and no slot moves.
    let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
    let held = async || {
        eventually("ksit-1 to hold its Lease", async || {
            let lease = leases.get_opt("ksit-1").await.unwrap()?;
            holder(&lease).starts_with("ksit-1_").then_some(())
        })
        .await;
    };
    leases.delete("ksit-1", &DeleteParams::default()).await.unwrap();
    held().await;
    let empty = json!({ "spec": { "holderIdentity": "" } });
    leases.patch("ksit-1", &PatchParams::default(), &Patch::Merge(&empty)).await.unwrap();
    held().await;
    assert_eq!(fleet.settled(&[0, 1]).await.map.shards, first.map.shards);
    fleet.replicas.check().unwrap();

    // The coordinator's Lease is stolen: its holder resigns, the thief is silent, and a replica leads again.
    let term = fleet.map().await.unwrap().map.term;
    let stolen = json!({ "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "spec": { "holderIdentity": "mallory", "renewTime": "2099-01-01T00:00:00.000000Z" } });
    leases.patch("ksit-coordinator", &force, &Patch::Apply(&stolen)).await.unwrap();
    eventually("a new term", async || fleet.map().await.filter(|map| map.map.term > term)).await;

    // A member's Lease is stolen: that process exits, since it can't know what else it lost.
    let worker = (0..2).find(|ordinal| *ordinal != Fleet::coordinator(&first)).unwrap();
    let stolen = json!({ "spec": { "holderIdentity": "mallory" } });
    leases.patch(&format!("ksit-{worker}"), &PatchParams::default(), &Patch::Merge(&stolen)).await.unwrap();
    let mut process = fleet.replicas.take(worker).unwrap();
    eventually("the process to exit", async || {
        fleet.replicas.log(worker).contains("was taken by mallory").then_some(())
    })
    .await;
    until_ended(&mut process).await;
    fleet.replicas.start(worker).await.unwrap();
    fleet.settled(&[0, 1]).await;
    fleet.scale_flux(0).await;
    fleet.until_all("Failed").await;
    fleet.assert_no_violations().await;
}

#[tokio::test]
async fn frozen_coordinator_writes_nothing_after_it_wakes() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("frozen", 2).await;
    let first = fleet.settled(&[0, 1]).await;
    fleet.until_all("Running").await;
    let (old, new) = (Fleet::coordinator(&first), 1 - Fleet::coordinator(&first));
    // Everything changes while it is frozen, which leaves it writes to make.
    fleet.replicas.replica(old).unwrap().signal(Signal::SIGSTOP).unwrap();
    fleet.scale_flux(0).await;
    let second = fleet.settled(&[new]).await;
    assert!(second.map.term > first.map.term);
    fleet.until_all("Failed").await;
    let mut process = fleet.replicas.take(old).unwrap();
    process.signal(Signal::SIGCONT).unwrap();
    // It finds its own Lease taken, and exits.
    until_ended(&mut process).await;
    for target in fleet.statuses().await {
        assert_eq!(target.status.as_ref().unwrap().coordinator_term, Some(second.map.term.0), "{}", target.name_any());
    }
    fleet.assert_no_violations().await;
}

#[tokio::test]
async fn fence_refuses_a_former_term_on_every_object() {
    let _validation = with_validation().await;
    let fleet = Fleet::new("fenced", 1).await;
    fleet.settled(&[0]).await;
    fleet.until_all("Running").await;
    let term = fleet.map().await.unwrap().map.term.0;
    // The status of a new object has no term yet, so the CRD's own rule can't refuse the write.
    fleet.world.apply("IntegrationTarget", "new", json!({ "clusterName": "new", "paused": true })).await.unwrap();
    let api = fleet.world.api("IntegrationTarget");
    let old = json!({ "status": { "coordinatorTerm": term - 1 } });
    let refused = eventually("the fence", async || {
        api.patch_status("new", &PatchParams::default(), &Patch::Merge(&old)).await.err()
    })
    .await;
    assert!(refused.to_string().contains("former coordinator"), "{refused}");
    fleet.assert_no_violations().await;
}

#[tokio::test]
async fn shares_move_at_scale_down_and_stay_across_a_restart() {
    let _validation = with_validation().await;
    let mut fleet = Fleet::new("leaving", 3).await;
    let first = fleet.settled(&[0, 1, 2]).await;
    fleet.until_all("Running").await;
    // A restart under the same name, still wanted: nothing moves.
    let leaving = fleet.replicas.take(1).unwrap();
    leaving.stop(Duration::from_secs(20)).await.unwrap().expect("exits by itself");
    fleet.replicas.start(1).await.unwrap();
    let uid = |map: &ksit::domain::shard_map::PublishedMap| map.map.members["ksit-1"].pod_uid.clone();
    let second = eventually("the new process to stand for ksit-1", async || {
        fleet.map().await.filter(|map| map.map.members.contains_key("ksit-1") && uid(map) != uid(&first))
    })
    .await;
    assert_eq!(second.map.shards, first.map.shards);
    // Scaled down: the others own its slots at once.
    fleet.replicas.want(2).await.unwrap();
    let leaving = fleet.replicas.take(2).unwrap();
    leaving.stop(Duration::from_secs(20)).await.unwrap().expect("exits by itself");
    let third = fleet.settled(&[0, 1]).await;
    let names: BTreeSet<String> = third.map.members.keys().map(ToString::to_string).collect();
    assert_eq!(names, ["ksit-0", "ksit-1"].map(str::to_owned).into());
    fleet.assert_no_violations().await;
}

/// None on a conflict: the object was written by another client since it was read.
fn unless_conflict<T>(written: kube::Result<T>) -> Option<T> {
    match written {
        Ok(object) => Some(object),
        Err(kube::Error::Api(status)) if status.is_conflict() => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn restarted_replica_reads_its_share_without_a_leader() {
    const FLAGS: [&str; 2] = ["--lease-duration=5s", "--lease-renew-interval=1s"];
    const CONNECTED: &str = "ksit_connections 1";
    let mut world = World::new("early").await;
    install_flux("early").await;
    world.target("one", &target().await.kubeconfig()).await;
    let flux = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": "early" } });
    world.integration("flux", flux).await;
    world.start_operator(&FLAGS).await;
    world.until_phase("flux", "Running").await;
    drop(world.take_operator());

    // No replica can lead: a stranger holds the coordinator's Lease, and renews it.
    let leases: Api<Lease> = Api::namespaced(world.client.clone(), "early");
    let renew = async || {
        let spec = json!({ "holderIdentity": "mallory", "renewTime": MicroTime(Timestamp::now()) });
        let patch = Patch::Merge(json!({ "spec": spec }));
        leases.patch("ksit-coordinator", &PatchParams::default(), &patch).await.unwrap();
    };
    renew().await;
    world.start_operator(&FLAGS).await;
    let read = eventually("its cluster to be read", async || {
        renew().await;
        world.http_get("/metrics").await.lines().any(|line| line == CONNECTED).then_some(())
    });
    read.await;
    assert!(world.http_get("/metrics").await.contains("ksit_coordinator_term 0\n"));
    let unready = world.http_get("/readyz").await;
    assert!(unready.contains("its part of the shard map") && !unready.contains("IntegrationTargets"), "{unready}");

    eventually("it to lead and to be ready", async || {
        world.http_get("/readyz").await.starts_with("HTTP/1.1 200").then_some(())
    })
    .await;
}
