//! Kills replicas and waits until others have observed all of their clusters.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Fleet, Measure, RunError};

/// Lease duration of the replicas, and two seconds.
const LIMIT: f64 = 12.0;

/// The interval of a cluster, and the coordinator's tick.
const FRESH: f64 = 32.0;

const PATIENCE: Duration = Duration::from_secs(60);

pub(super) async fn run(fleet: &mut Fleet, kills: u32) -> Result<Vec<Measure>, RunError> {
    let (mut of_coordinator, mut of_worker) = (Vec::new(), Vec::new());
    for number in 1..=kills {
        of_coordinator.push(kill(fleet, true).await?);
        of_worker.push(kill(fleet, false).await?);
        let last = |samples: &[f64]| samples.last().copied().unwrap_or_default();
        eprintln!(
            "kill {number} of {kills}: coordinator {:.1} s, worker {:.1} s",
            last(&of_coordinator),
            last(&of_worker)
        );
    }
    Ok(vec![
        Measure::new("coordinator killed until all is observed", "s", of_coordinator, Some(LIMIT)),
        Measure::new("worker killed until all is observed", "s", of_worker, Some(LIMIT)),
    ])
}

/// Seconds from the kill until every cluster has a living owner that observed it, under a valid term.
async fn kill(fleet: &mut Fleet, coordinator: bool) -> Result<f64, RunError> {
    let before = fleet.settle().await?;
    let victim = match coordinator {
        true => before.coordinator,
        false => {
            (0..fleet.count).find(|ordinal| *ordinal != before.coordinator).ok_or("a worker needs two replicas")?
        }
    };
    // At any moment of the renew interval.
    sleep(Duration::from_millis(u64::from(std::process::id()) * 7 % 1000 + before.term as u64 * 377 % 3000)).await;
    fleet.replicas.kill(victim);
    let start = Instant::now();
    let took = loop {
        if start.elapsed() > PATIENCE {
            return Err(format!("{} s after the kill: {:?}", PATIENCE.as_secs(), fleet.look().await).into());
        }
        // Before its Lease has run out the dead one still counts as a member.
        let recovered = |seen: super::fleet::Seen| {
            seen.members == f64::from(fleet.count - 1)
                && (!coordinator || seen.term > before.term)
                && seen.orphaned == 0.0
                && seen.unobserved == 0.0
                && seen.oldest <= FRESH
        };
        if fleet.look().await.is_some_and(recovered) {
            break start.elapsed().as_secs_f64();
        }
        sleep(Duration::from_millis(50)).await;
    };
    fleet.replicas.start(victim).await?;
    Ok(took)
}
