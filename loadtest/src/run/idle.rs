//! The idle scenario: leaves a healthy fleet alone and counts its writes to the hub.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Fleet, Measure, RunError};

/// Time for labels and first statuses to be written.
const QUIET: Duration = Duration::from_secs(20);

/// The only writes of replicas on a healthy fleet, with the maximum rate per second and replica.
const EXPECTED: [(&str, f64); 3] = [("update leases", 0.4), ("patch leases", 0.4), ("create tokenreviews", 0.004)];

/// The fleet's freshness, written once per round.
const FRESHNESS: (&str, f64) = ("patch shardmaps status", 1.0 / 29.0);

pub(super) async fn run(fleet: &mut Fleet, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("waiting {} s for the first statuses, then {} s", QUIET.as_secs(), duration.as_secs());
    sleep(QUIET).await;
    let (mark, requests, start) = (fleet.hub.audit().mark(), fleet.clusters.requests()?, Instant::now());
    let mut orphaned = Vec::new();
    while start.elapsed() < duration {
        orphaned.extend(fleet.coordinator_metrics().await.map(|metrics| metrics.orphaned));
        sleep(Duration::from_secs(1)).await;
    }
    let seconds = start.elapsed().as_secs_f64();
    let mut writes: BTreeMap<String, f64> = BTreeMap::new();
    for (name, _) in fleet.writes_since(mark)? {
        *writes.entry(name).or_default() += 1.0;
    }
    let mut measures = vec![Measure::new("orphaned clusters", "", orphaned, Some(0.0))];
    if let (Some(before), Some(now)) = (requests, fleet.clusters.requests()?) {
        let count = (now.total() - before.total()) as f64;
        measures.insert(0, Measure::new("requests to clusters", "/s", vec![count / seconds], None));
    }
    let expected = EXPECTED.map(|(name, each)| (name, each * f64::from(fleet.count)));
    for (name, limit) in expected.into_iter().chain([FRESHNESS]) {
        let count = writes.remove(name).unwrap_or_default();
        measures.push(Measure::new(name, "/s", vec![count / seconds], Some(limit)));
    }
    measures.push(Measure::new(
        "all other writes to the hub",
        "",
        vec![writes.values().fold(0.0, |sum, count| sum + count)],
        Some(0.0),
    ));
    if !writes.is_empty() {
        eprintln!("other writes: {writes:?}");
    }
    Ok(measures)
}
