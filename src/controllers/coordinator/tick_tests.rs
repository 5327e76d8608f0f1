//! Targets of which nobody reports: by design, not yet, or no more.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::super::TICK;
use super::super::cached_status::TargetObject;
use super::super::test_kit::{self, echo, empty_fleet, fleet, key, slot_label, target, writes};
use super::*;
use crate::domain::keys::TargetKey;
use crate::domain::replica::{Epoch, Incarnation, Term};
use crate::domain::report::{FromWorker, Heartbeat, TargetReport};
use crate::domain::shard_map::ShardMap;
use crate::domain::shards::Shards;
use crate::hub::Change;
use crate::reports::Incoming;

fn phase(fleet: &Fleet) -> Option<Phase> {
    fleet.targets[&key()].status.as_ref().and_then(|status| status.phase)
}

/// Ticks for so many rounds; the hub shows what was written. The writes in that time.
async fn run(fleet: &mut Fleet, rounds: u32, spec: &Value) -> u64 {
    let (end, mut all) = (Instant::now() + rounds * fleet.context.round, 0);
    while Instant::now() < end {
        tokio::time::advance(TICK).await;
        fleet.on_tick();
        let new = writes(fleet);
        if new > 0 {
            echo(fleet, spec);
        }
        all += new;
    }
    all
}

/// `owner` has everything.
fn map(epoch: i64, owner: &Incarnation, others: &[&Incarnation]) -> ShardMap {
    let members = others.iter().copied().chain([owner]).map(|process| (process.name.clone(), process.clone()));
    let rest = others.iter().map(|process| (process.name.clone(), "".parse().unwrap()));
    ShardMap {
        term: Term(1),
        epoch: Epoch(epoch),
        members: members.collect(),
        shards: Shards::new(rest.chain([(owner.name.clone(), "000-3ff".parse().unwrap())])),
    }
}

fn beat(fleet: &mut Fleet, sender: &Incarnation, epoch: i64) {
    let message = FromWorker::Heartbeat(Heartbeat {
        epoch: Epoch(epoch),
        targets: 0,
        late: Vec::new(),
        set: None,
        confirms: false,
    });
    let (sender, replies) = (Arc::new(sender.clone()), mpsc::channel(16).0);
    fleet.on_message(Incoming { sender, message, bytes: 0, replies });
}

#[tokio::test(start_paused = true)]
async fn unusable_target_is_written_once() {
    let labels: serde_json::Map<String, Value> = (0..200).map(|n| (format!("l{n}"), json!("x"))).collect();
    for spec in [
        json!({ "clusterName": "c1", "pausedUntil": "2030-01-01T00:00:00+99:99" }),
        json!({ "clusterName": "" }),
        json!({ "clusterName": "c1", "labels": labels }),
    ] {
        let mut fleet = empty_fleet(Arc::new(|_| true));
        fleet.on_map(&map(1, &Incarnation::new("ksit-0", "uid", "nonce"), &[]));
        fleet.on_target(target(&spec, &slot_label(), &Value::Null));
        assert_eq!(writes(&fleet), 1, "{spec}");
        echo(&mut fleet, &spec);
        assert_eq!(run(&mut fleet, 20, &spec).await, 0, "{spec}");
        assert_eq!(phase(&fleet), Some(Phase::Failed), "{spec}");
    }
}

/// The last report of its worker came after the change that made it unusable.
#[tokio::test(start_paused = true)]
async fn report_on_an_unusable_target_is_not_written() {
    let spec = json!({ "clusterName": "" });
    let mut fleet = fleet();
    fleet.on_target(target(&spec, &slot_label(), &json!(fleet.targets[&key()].summary())));
    echo(&mut fleet, &spec);
    writes(&fleet);
    fleet.on_report(test_kit::report(Vec::new()));
    assert_eq!((writes(&fleet), phase(&fleet)), (0, Some(Phase::Failed)));
}

#[tokio::test(start_paused = true)]
async fn target_that_is_usable_again_has_its_time() {
    let [bad, good] = ["", "c1"].map(|name| json!({ "clusterName": name }));
    let mut fleet = fleet();
    fleet.on_target(target(&bad, &slot_label(), &json!(fleet.targets[&key()].summary())));
    run(&mut fleet, 20, &bad).await;
    echo(&mut fleet, &good);
    run(&mut fleet, 2, &good).await;
    assert_eq!(phase(&fleet), Some(Phase::Failed), "its owner has three rounds");
    run(&mut fleet, 2, &good).await;
    assert_eq!(phase(&fleet), Some(Phase::Unknown));
}

#[tokio::test(start_paused = true)]
async fn paused_target_stays_paused_without_reports() {
    for pause in [
        json!({ "clusterName": "c1", "paused": true }),
        json!({ "clusterName": "c1", "pausedUntil": "2999-01-01T00:00:00Z" }),
    ] {
        let mut fleet = empty_fleet(Arc::new(|_| true));
        let status = json!({ "phase": "Paused", "coordinatorTerm": 1, "managedBy": "ksit-system/ksit" });
        fleet.on_target(target(&pause, &slot_label(), &status));
        assert_eq!((run(&mut fleet, 20, &pause).await, phase(&fleet)), (0, Some(Phase::Paused)));
        // It is looked at again, and nobody does.
        let goes_on = json!({ "clusterName": "c1" });
        echo(&mut fleet, &goes_on);
        assert_eq!((run(&mut fleet, 20, &goes_on).await, phase(&fleet)), (1, Some(Phase::Unknown)));
    }
}

#[tokio::test(start_paused = true)]
async fn stale_target_is_written_once_and_rendered_rarely() {
    let spec = json!({ "clusterName": "c1" });
    let mut fleet = fleet();
    assert_eq!((run(&mut fleet, 20, &spec).await, phase(&fleet)), (1, Some(Phase::Unknown)));
    fleet.on_tick();
    let next = fleet.targets[&key()].stale_at - Instant::now();
    assert!(next > TICK, "the next time is in {next:?}");
    // Somebody edits its status.
    fleet.on_target(target(&spec, &slot_label(), &json!({ "phase": "Running", "coordinatorTerm": 1 })));
    fleet.on_tick();
    assert_eq!((writes(&fleet), phase(&fleet)), (1, Some(Phase::Unknown)));
}

/// Labels come at the rate that the hub takes them, and the owner reads one target after the other.
#[tokio::test(start_paused = true)]
async fn target_is_not_unknown_before_its_owner_could_look() {
    let spec = json!({ "clusterName": "c1" });
    let [owner, other] = ["ksit-0", "ksit-1"].map(|name| Incarnation::new(name, "uid", "nonce"));
    let mut fleet = empty_fleet(Arc::new(|_| true));
    fleet.on_target(target(&spec, &json!({}), &Value::Null));
    assert_eq!(run(&mut fleet, 9, &spec).await, 0, "nobody owns it");
    let mut shared = map(1, &owner, &[&other]);
    // Each sees its own slots alone.
    shared.shards =
        Shards::new([(owner.name.clone(), "000-3fe".parse().unwrap()), (other.name.clone(), "3ff".parse().unwrap())]);
    fleet.on_map(&shared);
    assert_eq!(run(&mut fleet, 9, &spec).await, 0, "its owner has not heard of the map");
    beat(&mut fleet, &owner, 1);
    assert_eq!(run(&mut fleet, 9, &spec).await, 0, "its owner can't see it");
    fleet.on_target(target(&spec, &slot_label(), &Value::Null));
    assert_eq!(run(&mut fleet, 2, &spec).await, 0, "its owner has three rounds");
    fleet.on_target(target(&spec, &slot_label(), &Value::Null));
    assert_eq!((run(&mut fleet, 9, &spec).await, phase(&fleet)), (1, Some(Phase::Unknown)));
}

/// Thousands are read for the first time one after the other.
#[tokio::test(start_paused = true)]
async fn target_is_not_unknown_while_its_owner_reads_others_for_the_first_time() {
    let owner = Incarnation::new("ksit-0", "uid", "nonce");
    let mut fleet = empty_fleet(Arc::new(|_| true));
    fleet.on_map(&map(1, &owner, &[]));
    let spec = json!({ "clusterName": "c1" });
    fleet.on_target(target(&spec, &slot_label(), &Value::Null));
    for number in 2..12 {
        let name = format!("c{number}");
        let object = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "namespace": "fleet", "name": name }, "spec": { "clusterName": name } });
        fleet.on_target(TargetObject::of(Change::Applied(serde_json::from_value(object).unwrap())));
        let report =
            Box::new(TargetReport { target: TargetKey::new("fleet", name.as_str()), ..test_kit::report(Vec::new()) });
        let message = FromWorker::Report { sequence: number, meaning: None, report };
        let (sender, replies) = (Arc::new(owner.clone()), mpsc::channel(16).0);
        fleet.on_message(Incoming { sender, message, bytes: 0, replies });
        run(&mut fleet, 2, &spec).await;
        assert_eq!(phase(&fleet), None, "after {number}");
    }
    run(&mut fleet, 4, &spec).await;
    assert_eq!(phase(&fleet), Some(Phase::Unknown));
}
