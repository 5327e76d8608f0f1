//! The rebalance scenario: scales and restarts replicas, and measures recovery time and slots moved.

use std::time::Duration;

use testkit::division::Division;
use tokio::time::Instant;

use super::{Fleet, Measure, RunError};

/// Time limit for a replica to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Changes {
    left: Vec<f64>,
    map_writes: Vec<f64>,
    moved: Vec<f64>,
    moved_between_survivors: Vec<f64>,
    restart_moved: Vec<f64>,
    restart_took: Vec<f64>,
}

pub(super) async fn run(fleet: &mut Fleet, times: u32) -> Result<Vec<Measure>, RunError> {
    let mut changes = Changes::default();
    for number in 1..=times {
        scale_down(fleet, &mut changes).await?;
        restart_all(fleet, &mut changes).await?;
        let last = |samples: &[f64]| samples.last().copied().unwrap_or_default();
        let (left, moved) = (last(&changes.left), last(&changes.restart_moved));
        eprintln!("change {number} of {times}: scaled down in {left:.2} s, {moved} slots moved by a rolling restart");
    }
    let share = 1.1 / f64::from(fleet.count);
    Ok(vec![
        Measure::new("scaled down until all is observed", "s", changes.left, Some(2.0)),
        Measure::new("writes of the map beside the claim of a term", "", changes.map_writes, Some(1.0)),
        Measure::new("clusters that moved, of all", "", changes.moved, Some(share)),
        Measure::new("slots moved between survivors", "", changes.moved_between_survivors, Some(0.0)),
        Measure::new("slots moved by a rolling restart of all", "", changes.restart_moved, Some(0.0)),
        Measure::new("restart of one replica until all is observed", "s", changes.restart_took, None),
    ])
}

async fn scale_down(fleet: &mut Fleet, changes: &mut Changes) -> Result<(), RunError> {
    let (before, division) = (fleet.settle().await?, fleet.division().await?);
    let weights = fleet.weights().await?;
    let leaving = fleet.count - 1;
    let led = before.coordinator == leaving;
    fleet.replicas.want(leaving).await?;
    let process = fleet.replicas.take(leaving).ok_or("the replica is not running")?;
    let mark = fleet.hub.audit().mark();
    let start = Instant::now();
    let (stopped, recovered) =
        tokio::join!(process.stop(PATIENCE), fleet.until_recovered(start, &before, leaving, led));
    stopped?.ok_or("the replica did not end after SIGTERM")?;
    let after = fleet.division().await?;
    let moved: u32 = division.moved(&after).iter().filter_map(|slot| weights.get(slot)).sum();
    changes.left.push(recovered?.took);
    changes.map_writes.push(fleet.map_writes(mark)? - f64::from(u8::from(led)));
    changes.moved.push(f64::from(moved) / f64::from(fleet.targets));
    changes.moved_between_survivors.push(division.moved_between_survivors(&after) as f64);
    fleet.replicas.want(fleet.count).await?;
    fleet.replicas.start(leaving).await
}

/// Restarts from the highest ordinal down; each replica is back before the next one stops.
async fn restart_all(fleet: &mut Fleet, changes: &mut Changes) -> Result<(), RunError> {
    fleet.settle().await?;
    let before = fleet.division().await?;
    for ordinal in (0..fleet.count).rev() {
        let process = fleet.replicas.take(ordinal).ok_or("the replica is not running")?;
        let start = Instant::now();
        process.stop(PATIENCE).await?.ok_or("the replica did not end after SIGTERM")?;
        fleet.replicas.start(ordinal).await?;
        fleet.until_replaced(&before, ordinal).await?;
        fleet.settle().await?;
        changes.restart_took.push(start.elapsed().as_secs_f64());
    }
    let after: Division = fleet.division().await?;
    changes.restart_moved.push(before.moved(&after).len() as f64);
    Ok(())
}
