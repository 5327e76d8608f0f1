//! Each fault of the simulator in turn, on a few clusters. The others stay true.

use std::time::Duration;

use clap::ValueEnum;
use loadtest::simulator::Fault;

use super::{HostileFleet, INTERVAL, PATIENCE};

const CLUSTERS: u32 = 40;

/// Enough for each replica to own one of them, most likely.
const FAULTY: u32 = 6;

const FAULT_DURATION: Duration = Duration::from_secs(8);

/// `clusters.rs` has them, with the messages that they come to.
const ELSEWHERE: [Fault; 4] =
    [Fault::OversizedName, Fault::ControlCharacters, Fault::OversizedLabels, Fault::GrowingWatch];

/// For what a list has to come over its watch all the same, and for a report and a status.
const GRACE: Duration = Duration::from_secs(3 + 3);

/// Argo CD is four lists: each is confirmed once in four intervals.
#[tokio::test]
async fn quiet_watches_hide_nothing_beyond_one_rotation() {
    let mut fleet = HostileFleet::start("quiet-watches", CLUSTERS).await;
    let truth = fleet.check_truth(0..CLUSTERS).await;
    (0..CLUSTERS).for_each(|number| fleet.simulator.inject(number, Some(Fault::QuietWatches)));
    let findings = truth.during(INTERVAL * 15).await;
    fleet.replicas.check().unwrap();
    let bound = INTERVAL * 4 + GRACE;
    println!("quiet watches: wrong at most {:?}, bound {bound:?}", findings.wrong.lasted);
    assert!(findings.wrong.lasted <= bound, "{findings:?}");
    assert!(findings.took.len() >= CLUSTERS as usize / 2, "it was looked: {findings:?}");
    (0..CLUSTERS).for_each(|number| fleet.simulator.inject(number, None));
    truth.until_right(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn every_simulated_fault_harms_no_other_cluster() {
    let mut fleet = HostileFleet::start("simulated-faults", CLUSTERS).await;
    let truth = fleet.check_truth(FAULTY..CLUSTERS).await;
    for fault in Fault::value_variants().iter().filter(|fault| !ELSEWHERE.contains(fault)) {
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, Some(*fault)));
        fleet.endures(&format!("{fault:?}"), &truth, FAULT_DURATION).await;
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, None));
    }
}
