//! Three replicas, of which the coordinator is killed again and again.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use serde_json::json;

use super::receiver::Receiver;
use crate::kit::{Fleet, eventually, until_ended};

/// Breaks and mends, each with a kill of the coordinator at another moment.
const ROUNDS: u64 = 6;

#[tokio::test]
async fn killed_coordinators_report_every_cause_once() {
    let mut fleet = Fleet::new("notify-failover", 3).await;
    let receiver = Receiver::start().await;
    let spec = json!({ "after": "0s", "recoveredAfter": "0s", "webhook": { "url": receiver.url } });
    fleet.world.apply("Notifier", "events", spec).await.unwrap();
    fleet.settled(&[0, 1, 2]).await;
    fleet.until_all("Running").await;
    for round in 0..ROUNDS {
        let (replicas, phase) = if round % 2 == 0 { (0, "Failed") } else { (1, "Running") };
        let map = fleet.settled(&[0, 1, 2]).await;
        fleet.scale_flux(replicas).await;
        // Somewhere between the first status and the answer of the receiver.
        tokio::time::sleep(std::time::Duration::from_millis(700 * round)).await;
        let coordinator = Fleet::coordinator(&map);
        let mut killed = fleet.replicas.take(coordinator).unwrap();
        killed.signal(Signal::SIGKILL).unwrap();
        until_ended(&mut killed).await;
        fleet.replicas.start(coordinator).await.unwrap();
        fleet.until_all(phase).await;
        let open = if replicas == 0 { json!(1) } else { json!(0) };
        let notifiers = fleet.world.api("Notifier");
        eventually("the receiver to be up to date", async || {
            let status = notifiers.get("events").await.ok()?.data["status"].clone();
            let is_told = status["open"].as_array()?.iter().all(|cause| cause["messages"].as_i64() > Some(0));
            (status["openCauses"] == open && is_told).then_some(())
        })
        .await;
    }
    let received = receiver.received();
    // By cause, the kinds of its events without those that were sent again.
    let mut causes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut ids = Vec::new();
    for event in received.iter().map(super::receiver::Received::json) {
        let id = event["id"].as_str().unwrap().to_owned();
        if !ids.contains(&id) {
            ids.push(id);
            let state = event["data"]["state"].as_str().unwrap().to_owned();
            causes.entry(event["data"]["key"].as_str().unwrap().to_owned()).or_default().push(state);
        }
    }
    println!("{} requests, {} distinct events, {causes:#?}", received.len(), ids.len());
    for states in causes.values() {
        let ends: Vec<&String> = states.iter().filter(|state| *state != "grown").collect();
        assert_eq!(ends, ["opened", "resolved"], "{causes:#?}");
    }
    assert!(causes.len() >= ROUNDS as usize / 2, "each break is reported: {causes:#?}");
    fleet.assert_no_violations().await;
}
