//! Injects faults into replicas, hub and network; afterwards the hub's audit log must show no violated invariant.

mod clocks;
mod hub;
mod installations;
mod network;
mod processes;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ksit::api::{ShardMap, convert};
use ksit::domain::shard_map::PublishedMap;
use kube::api::Api;
use loadtest::checker::{Checked, check};
use loadtest::run::{Fleet, NAMESPACE};
use loadtest::truth::{Findings, TruthChecker};

use crate::kit::eventually;

const TARGETS: u32 = 80;

/// The tests break the first 60 clusters; the truth checker flips these others.
const UNTOUCHED: u32 = 20;

/// A member is deaf after 6 s, and a coordinator may send writes for 3 s after a renewal: short, but long enough for a
/// busy machine.
const FLAGS: [&str; 4] = ["--interval=2s", "--round-timeout=2s", "--lease-duration=8s", "--lease-renew-interval=1s"];

/// Time-out for statuses to be right; the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Lease duration, as in [`FLAGS`].
const LEASE: Duration = Duration::from_secs(8);

/// From the end of a Lease until the next owner or coordinator has reread everything; the machine is busy.
const TAKEOVER: Duration = Duration::from_secs(7);

/// After a replica dies or freezes, its clusters and its duties as coordinator wait for its Lease to end.
const FAILOVER: Duration = LEASE.saturating_add(TAKEOVER);

/// Changes of untouched clusters that the truth checker must see during each fault.
const CHANGES: usize = 10;

/// The test's own hub, and simulated clusters. No replica runs yet.
async fn prepare() -> Fleet {
    let fleet = Fleet::prepare(Path::new(env!("CARGO_BIN_EXE_ksit")), TARGETS, &FLAGS).await.unwrap();
    Fleet { untouched: UNTOUCHED, ..fleet }
}

/// The map, once exactly these replicas own the fleet and one of them leads.
async fn until_owned_by(fleet: &Fleet, ordinals: &[u32]) -> PublishedMap {
    let wanted: BTreeSet<String> = ordinals.iter().map(|ordinal| format!("ksit-{ordinal}")).collect();
    let api: Api<ShardMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    eventually(&format!("{wanted:?} to own the fleet"), async || {
        let map = api.get_opt("ksit").await.ok()?.map(|map| convert::shard_map(&map))?;
        let members: BTreeSet<String> = map.map.members.keys().map(ToString::to_string).collect();
        (members == wanted && wanted.contains(map.coordinator.name.as_str())).then_some(map)
    })
    .await
}

fn leader(map: &PublishedMap) -> u32 {
    map.coordinator.name.ordinal().unwrap()
}

/// Breaks `broken` clusters and waits until the statuses show it.
async fn break_and_wait(fleet: &Fleet, broken: u32) {
    fleet.break_first(broken).unwrap();
    fleet.until_phases(broken, TIMEOUT).await.unwrap();
}

/// Starts to flip the untouched clusters; returns once their statuses are right.
async fn check_truth(fleet: &Fleet) -> TruthChecker {
    let truth = fleet.check_truth(TARGETS - UNTOUCHED..TARGETS).unwrap();
    truth.until_right(TIMEOUT).await.unwrap();
    truth.forget();
    truth
}

/// Asserts that since the start, or the last call, no status of an untouched cluster was wrong for longer than `bound`.
async fn assert_stayed_true(fault: &str, truth: &TruthChecker, bound: Duration) {
    truth.until_right(TIMEOUT).await.unwrap();
    // A fault may end before enough changes were seen.
    eventually("enough changes to be seen", async || (truth.findings().took.len() >= CHANGES).then_some(())).await;
    let Findings { wrong, falsely_running, took } = truth.findings();
    println!(
        "chaos: {fault}: wrong at most {:.1} s, falsely Running {:.1} s, of {}; bound {} s",
        wrong.lasted.as_secs_f64(),
        falsely_running.lasted.as_secs_f64(),
        took.len(),
        bound.as_secs(),
    );
    assert!(wrong.lasted <= bound && falsely_running.lasted <= bound, "{fault}: {wrong:?}, {falsely_running:?}");
    truth.forget();
}

/// Asserts that the audit log shows no violated invariant.
fn assert_no_violations(fleet: &Fleet) -> Checked {
    let checked = check(&fleet.hub.audit(), None).unwrap();
    assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
    assert!(checked.maps > 1 && checked.statuses > TARGETS as usize, "{checked:?}");
    checked
}
