//! Each fault of the simulator in turn, on a few clusters. The others stay true.

use std::time::Duration;

use clap::ValueEnum;
use loadtest::simulator::Fault;

use super::HostileFleet;

const CLUSTERS: u32 = 40;

/// Enough for each replica to own one of them, most likely.
const FAULTY: u32 = 6;

const LASTS: Duration = Duration::from_secs(8);

/// `clusters.rs` has them, with the messages that they come to.
const ELSEWHERE: [Fault; 4] =
    [Fault::OversizedName, Fault::ControlCharacters, Fault::OversizedLabels, Fault::GrowingWatch];

#[tokio::test]
async fn every_simulated_fault_harms_no_other_cluster() {
    let mut fleet = HostileFleet::start("simulated-faults", CLUSTERS).await;
    let truth = fleet.check_truth(FAULTY..CLUSTERS).await;
    for fault in Fault::value_variants().iter().filter(|fault| !ELSEWHERE.contains(fault)) {
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, Some(*fault)));
        fleet.endures(&format!("{fault:?}"), &truth, LASTS).await;
        (0..FAULTY).for_each(|number| fleet.simulator.inject(number, None));
    }
}
