//! Load tests: a real hub, real replicas, simulated clusters, and figures at the end.
//!
//! ```text
//! Simulator (N API servers) <── replicas (processes) ──> hub (etcd, kube-apiserver)
//!                                     │ /metrics                │ audit log, map, statuses
//!                                     └────────── scenario ─────┘──> Report (table, JSON)
//! ```

mod failover;
mod fleet;
mod idle;
mod observe;
mod outage;
mod rebalance;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use fleet::{Fleet, NAMESPACE};
pub use report::{Measure, Report};

use crate::checker;

pub(crate) type RunError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kills the coordinator and workers; how long until all their clusters were observed by others.
    Failover,
    /// Scales down and up, and restarts one replica after the other; how long it takes, and what moves.
    Rebalance,
    /// Takes the API server, then etcd alone, away for a minute; what moves, and when statuses are right again.
    Outage,
    /// Leaves a healthy fleet alone; what it writes to the hub.
    Idle,
}

impl Scenario {
    fn times(self) -> u32 {
        match self {
            Self::Failover => 25,
            Self::Rebalance => 10,
            Self::Outage => 3,
            Self::Idle => 1,
        }
    }
}

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub scenario: Scenario,
    pub ksit: PathBuf,
    pub targets: u32,
    pub replicas: u32,
    /// How often each fault is made; `None`: as often as the scenario does by default.
    pub times: Option<u32>,
    pub duration: Duration,
}

/// Runs the scenario; everything it started has ended when this returns.
pub async fn run(settings: &Settings) -> Result<Report, RunError> {
    let mut fleet = start(settings).await?;
    let times = settings.times.unwrap_or(settings.scenario.times());
    let mut measures = match settings.scenario {
        Scenario::Failover => failover::run(&mut fleet, times).await?,
        Scenario::Rebalance => rebalance::run(&mut fleet, times).await?,
        Scenario::Outage => outage::run(&mut fleet, times).await?,
        Scenario::Idle => idle::run(&mut fleet, settings.duration).await?,
    };
    let checked = checker::check(&fleet.hub.audit(), None)?;
    checked.violations.iter().for_each(|violation| eprintln!("violation: {violation}"));
    let violations = vec![checked.violations.len() as f64];
    measures.push(Measure::new("violations of the invariants, by the audit log", "", violations, Some(0.0)));
    Ok(Report::new(settings, measures))
}

async fn start(settings: &Settings) -> Result<Fleet, RunError> {
    eprintln!("starting the hub and {} simulated clusters", settings.targets);
    let mut fleet = Fleet::prepare(&settings.ksit, settings.targets, &[]).await?;
    eprintln!("starting {} replicas", settings.replicas);
    let start = Instant::now();
    fleet.scale_up(settings.replicas).await?;
    fleet.settle().await?;
    eprintln!("all clusters observed after {:.1} s", start.elapsed().as_secs_f64());
    fleet.until_phases(0, Duration::from_secs(120)).await?;
    eprintln!("all statuses written after {:.1} s", start.elapsed().as_secs_f64());
    Ok(fleet)
}
