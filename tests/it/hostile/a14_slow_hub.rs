//! The hub takes seconds for each answer.

use std::time::Duration;

use testkit::faulty_hub::FaultyHub;
use testkit::installation::Tuning;

use super::own_hub::{TIMEOUT, logs, map, prepare};

/// Several Lease durations.
const FAULT_DURATION: Duration = Duration::from_secs(30);

/// Asserts that one coordinator leads throughout while every request takes `delay`.
async fn assert_one_leader(delay: Duration) {
    let mut fleet = prepare(12).await;
    let hub = FaultyHub::start(&fleet.hub).await.unwrap();
    for ordinal in 0..2 {
        fleet.replicas.tune(ordinal, Tuning { hub_url: Some(hub.url()), ..Tuning::default() });
    }
    hub.delay(delay);
    fleet.scale_up(2).await.unwrap();
    fleet.until_phases(0, TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 2)));
    fleet.settle().await.unwrap();
    let before = map(&fleet).await.unwrap();
    fleet.clusters.simulator().unwrap().break_first(6);
    fleet.until_phases(6, TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 2)));
    let truth = fleet.check_truth(6..12).unwrap();
    let found = truth.during(FAULT_DURATION).await;
    eprintln!("a14: {delay:?} an answer: a status was wrong for {:?} at the most", found.wrong.lasted);
    assert!(found.wrong.lasted < FAULT_DURATION * 2 / 3, "{found:?}\n{}", logs(&fleet, 2));
    drop(truth);
    fleet.clusters.simulator().unwrap().break_first(0);
    fleet.until_phases(0, TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 2)));
    let after = map(&fleet).await.unwrap();
    assert_eq!((before.map.term, before.coordinator), (after.map.term, after.coordinator), "{}", logs(&fleet, 2));
    fleet.replicas.check().unwrap();
}

#[tokio::test]
async fn a14_hub_latency_of_1_s_keeps_the_coordinator() {
    assert_one_leader(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn a14_hub_latency_of_2_s_keeps_the_coordinator() {
    assert_one_leader(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a14_hub_latency_of_2_9_s_keeps_the_coordinator() {
    assert_one_leader(Duration::from_millis(2_900)).await;
}
