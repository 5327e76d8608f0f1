//! `loadtest run`

use std::path::PathBuf;
use std::time::Duration;

use crate::run::{self, Scenario, Settings};

/// Run a load test: a real hub and real replicas, with clusters simulated on loopback. Ctrl-C cleans up.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(long, value_enum)]
    scenario: Scenario,
    /// Clusters.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    targets: u32,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    replicas: u32,
    /// How often each fault is made [default: 25 for failover, 10 for rebalance, 3 for outage]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: Option<u32>,
    /// For idle: seconds to watch.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    duration: u64,
    /// The ksit program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    ksit: Option<PathBuf>,
    /// Write the report there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let settings = Settings {
        scenario: args.scenario,
        ksit: super::ksit(args.ksit)?,
        targets: args.targets,
        replicas: args.replicas,
        times: args.times,
        duration: Duration::from_secs(args.duration),
    };
    let report = tokio::select! {
        report = run::run(&settings) => report?,
        _ = tokio::signal::ctrl_c() => return Err("interrupted; everything that was started has ended".into()),
    };
    println!("{}", report.table());
    if let Some(file) = args.json {
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .map_err(|error| format!("--json: {}: {error}", file.display()))?;
    }
    if report.is_ok() { Ok(()) } else { Err("a limit was missed".into()) }
}
