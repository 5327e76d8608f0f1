//! The outage scenario: stops the hub's API server or etcd for a minute while clusters break and are repaired.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{Fleet, Measure, RunError};

const OUTAGE: Duration = Duration::from_secs(60);

/// A cluster's interval, in seconds.
const INTERVAL: f64 = 30.0;

/// Longest time without a request to a cluster: an interval plus a round on a busy machine, in seconds.
const UNOBSERVED: f64 = INTERVAL + 5.0;

const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Copy, Debug)]
enum Part {
    ApiServer,
    Etcd,
}

#[derive(Default)]
struct Outages {
    right: Vec<f64>,
    unobserved: Vec<f64>,
    moved: Vec<f64>,
}

pub(super) async fn run(fleet: &mut Fleet, times: u32) -> Result<Vec<Measure>, RunError> {
    let mut measures = Vec::new();
    for part in [Part::ApiServer, Part::Etcd] {
        let mut outages = Outages::default();
        for number in 1..=times {
            outage(fleet, part, &mut outages).await?;
            let right = outages.right.last().copied().unwrap_or_default();
            eprintln!("{part:?} away, {number} of {times}: statuses right {right:.1} s after");
        }
        let what = |what: &str| match part {
            Part::ApiServer => format!("API server away: {what}"),
            Part::Etcd => format!("etcd away: {what}"),
        };
        measures.push(Measure::new(&what("until all statuses are right"), "s", outages.right, Some(INTERVAL)));
        measures.push(Measure::new(
            &what("longest time without a request to a cluster"),
            "s",
            outages.unobserved,
            Some(UNOBSERVED),
        ));
        measures.push(Measure::new(&what("slots moved"), "", outages.moved, Some(0.0)));
    }
    Ok(measures)
}

async fn outage(fleet: &mut Fleet, part: Part, outages: &mut Outages) -> Result<(), RunError> {
    fleet.settle().await?;
    fleet.until_phases(0, PATIENCE).await?;
    let before = fleet.division().await?;
    match part {
        Part::ApiServer => fleet.hub.stop_api_server(),
        Part::Etcd => fleet.hub.stop_etcd(),
    }
    // Half of the fleet breaks while statuses cannot be written.
    let broken = fleet.targets / 2;
    fleet.clusters.simulator()?.break_first(broken);
    sleep(OUTAGE).await;
    outages.unobserved.push(fleet.clusters.simulator()?.longest_without_request().as_secs_f64());
    match part {
        Part::ApiServer => fleet.hub.start_api_server().await?,
        Part::Etcd => fleet.hub.start_etcd().await?,
    }
    let start = Instant::now();
    fleet.until_phases(broken, PATIENCE).await?;
    outages.right.push(start.elapsed().as_secs_f64());
    fleet.clusters.simulator()?.break_first(0);
    fleet.settle().await?;
    outages.moved.push(before.moved(&fleet.division().await?).len() as f64);
    Ok(())
}
