//! Leaves a healthy fleet alone and counts what it writes to the hub.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::{Fleet, Measure, RunError};

/// Until labels and first statuses are written.
const QUIET: Duration = Duration::from_secs(20);

pub(super) async fn run(fleet: &mut Fleet, duration: Duration) -> Result<Vec<Measure>, RunError> {
    eprintln!("waiting {} s for the first statuses, then {} s", QUIET.as_secs(), duration.as_secs());
    sleep(QUIET).await;
    let (mark, requests) = (fleet.hub.audit().mark(), fleet.simulator.counters.requests.load(Ordering::Relaxed));
    sleep(duration).await;
    let mut writes: BTreeMap<String, u32> = BTreeMap::new();
    for event in fleet.hub.audit().since(mark)? {
        let by_replica = event.user.username.starts_with("system:serviceaccount:");
        if by_replica && !["get", "list", "watch"].contains(&event.verb.as_str()) {
            let object = event.object_ref.unwrap_or_default();
            let name = format!("{} {} {}", event.verb, object.resource, object.subresource).trim().to_owned();
            *writes.entry(name).or_default() += 1;
        }
    }
    let seconds = duration.as_secs_f64();
    let asked = fleet.simulator.counters.requests.load(Ordering::Relaxed) - requests;
    let mut measures = vec![Measure::new("requests to clusters", "/s", vec![asked as f64 / seconds], None)];
    for status in ["update integrations status", "update integrationtargets status"] {
        let count = writes.remove(status).unwrap_or_default();
        measures.push(Measure::new(status, "", vec![f64::from(count)], Some(0.0)));
    }
    for (what, count) in writes {
        measures.push(Measure::new(&what, "/s", vec![f64::from(count) / seconds], None));
    }
    Ok(measures)
}
