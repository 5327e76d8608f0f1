//! Injects each fault of the simulator in turn into a few clusters. Statuses of the others stay true.

use std::time::Duration;

use clap::ValueEnum;
use simulator::Fault;

use super::{HostileFleet, INTERVAL, TIMEOUT};

const CLUSTERS: u32 = 40;

/// Enough that each replica most likely owns one.
const FAULTY: u32 = 6;

const FAULT_DURATION: Duration = Duration::from_secs(8);

/// Tested in `clusters.rs`, together with their messages.
const ELSEWHERE: [Fault; 4] =
    [Fault::OversizedName, Fault::ControlCharacters, Fault::OversizedLabels, Fault::GrowingWatch];

/// Time for a listed change to arrive over its watch all the same, plus time for the report and the status.
const GRACE: Duration = Duration::from_secs(3 + 3);

/// Argo CD needs four lists: each is confirmed once in four intervals.
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
    assert!(findings.took.len() >= CLUSTERS as usize / 2, "too few changes seen: {findings:?}");
    (0..CLUSTERS).for_each(|number| fleet.simulator.inject(number, None));
    truth.until_right(TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn every_simulated_fault_harms_no_other_cluster() {
    let mut fleet = HostileFleet::start("simulated-faults", CLUSTERS).await;
    let truth = fleet.check_truth(FAULTY..CLUSTERS).await;
    for fault in Fault::value_variants().iter().filter(|fault| !ELSEWHERE.contains(fault)) {
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, Some(*fault)));
        fleet.assert_endures(&format!("{fault:?}"), &truth, FAULT_DURATION).await;
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, None));
    }
}
