//! The failover scenario: kills replicas and waits until the others have observed all clusters.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::observe::Recovery;
use super::{Fleet, Measure, RunError};

/// The replicas' Lease duration plus two seconds.
const LIMIT: f64 = 12.0;

/// Renew interval of a Lease.
const RENEW: Duration = Duration::from_secs(3);

#[derive(Default)]
struct Kills {
    took: Vec<f64>,
    orphaned: Vec<f64>,
    map_writes: Vec<f64>,
    status_writes: Vec<f64>,
    bytes: Vec<f64>,
}

pub(super) async fn run(fleet: &mut Fleet, kills: u32) -> Result<Vec<Measure>, RunError> {
    let (mut coordinator, mut worker) = (Kills::default(), Kills::default());
    for number in 1..=kills {
        // Spread the kills over the renew interval.
        let moment = RENEW * (number - 1) / kills;
        kill(fleet, true, moment, &mut coordinator).await?;
        kill(fleet, false, moment, &mut worker).await?;
        let last = |samples: &[f64]| samples.last().copied().unwrap_or_default();
        let (coordinator, worker) = (last(&coordinator.took), last(&worker.took));
        eprintln!("kill {number} of {kills}: coordinator {coordinator:.1} s, worker {worker:.1} s");
    }
    let orphaned = [coordinator.orphaned, worker.orphaned].concat();
    Ok(vec![
        Measure::new("coordinator killed until all is observed", "s", coordinator.took, Some(LIMIT)),
        Measure::new("worker killed until all is observed", "s", worker.took, Some(LIMIT)),
        Measure::new("orphaned clusters after the map is published", "s", orphaned, Some(1.0)),
        Measure::new("writes of the map, coordinator killed (claim, change)", "", coordinator.map_writes, Some(2.0)),
        Measure::new("writes of the map, worker killed", "", worker.map_writes, Some(1.0)),
        Measure::new("status writes of a new coordinator", "", coordinator.status_writes, Some(0.0)),
        Measure::new("status writes after the death of a worker", "", worker.status_writes, Some(0.0)),
        Measure::new("report bytes a cluster to a new coordinator", "B", coordinator.bytes, Some(64.0)),
    ])
}

async fn kill(fleet: &mut Fleet, coordinator: bool, moment: Duration, kills: &mut Kills) -> Result<(), RunError> {
    let before = fleet.settle().await?;
    let worker = (0..fleet.count).find(|ordinal| *ordinal != before.coordinator);
    let victim = if coordinator { before.coordinator } else { worker.ok_or("a worker needs two replicas")? };
    sleep(moment).await;
    let mark = fleet.hub.audit().mark();
    fleet.replicas.kill(victim);
    let start = Instant::now();
    let Recovery { took, orphaned, metrics } =
        fleet.until_recovered(start, &before, fleet.count - 1, coordinator).await?;
    kills.took.push(took);
    kills.orphaned.push(orphaned);
    kills.map_writes.push(fleet.map_writes(mark)?);
    kills.status_writes.push(fleet.status_writes(mark)?);
    kills.bytes.push(metrics.report_bytes / f64::from(fleet.targets));
    fleet.replicas.start(victim).await
}
