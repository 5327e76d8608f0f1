//! Load tests: a real hub, real replicas, simulated clusters, and figures at the end.
//!
//! ```text
//! Simulator (N API servers) <── replicas (processes) ──> hub (etcd, kube-apiserver)
//!                                     │ /metrics                │ audit log
//!                                     └────────── scenario ─────┘──> Report (table, JSON)
//! ```

mod failover;
mod fleet;
mod idle;
mod report;

use std::path::PathBuf;
use std::time::Duration;

pub use fleet::Fleet;
pub use report::{Measure, Report};

pub(crate) type RunError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kills the coordinator and workers; how long until all their clusters were observed by others.
    Failover,
    /// Leaves a healthy fleet alone; what it writes to the hub.
    Idle,
}

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub scenario: Scenario,
    pub ksit: PathBuf,
    pub targets: u32,
    pub replicas: u32,
    /// Of the coordinator, and as many of a worker.
    pub kills: u32,
    pub duration: Duration,
}

/// Runs the scenario; everything it started has ended when this returns.
pub async fn run(settings: &Settings) -> Result<Report, RunError> {
    let mut fleet = Fleet::start(settings).await?;
    let measures = match settings.scenario {
        Scenario::Failover => failover::run(&mut fleet, settings.kills).await?,
        Scenario::Idle => idle::run(&mut fleet, settings.duration).await?,
    };
    Ok(Report::new(settings, measures))
}
