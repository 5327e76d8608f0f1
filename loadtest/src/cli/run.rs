//! `loadtest run`

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use testkit::command;

use crate::run::{self, Mode, Plan, Provider, Scenario, Script, Settings};

/// Run a load test: a real hub and real replicas with simulated or real clusters, all on this machine. Ctrl-C cleans
/// up.
///
/// Embedded scenarios: survey (most of the others in one run), cold-start, changes, detection, idle-watch, hang,
/// settle, blackout, all-break, kill, rotation, hostile, poll, churn and proxy are scripts (see loadtest/scenarios/ to
/// write your own); failover, rebalance, outage and idle are built in. The report has the detection time of changes, the
/// resource usage of the replicas, their requests to clusters and hub, and whether the scenario's limits were kept.
/// The exit code is 1 if a limit was missed.
///
/// Real targets (--provider local, kind) have the same tools and break through the status of their objects. Scenarios
/// with faults or network delays (survey, detection, hang, settle, blackout, rotation, hostile, churn, proxy), outage and
/// --limit need simulated targets.
///
/// To size an installation: run survey with your fleet's number of --targets and with --limit, and read memory and CPU
/// per target from the report.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of a scenario, or a scenario file.
    #[arg(long, value_name = "NAME|FILE")]
    scenario: String,
    /// Kind of targets. Load is only ever put on this machine.
    #[arg(long, value_enum, default_value_t = Provider::Sim)]
    provider: Provider,
    /// Number of clusters.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    targets: u32,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    replicas: u32,
    /// Repetitions of each fault [default: 25 for failover, 10 for rebalance, 3 for outage]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: Option<u32>,
    /// Seconds for which idle runs, and for which the CPU of the baseline and of --baseline is measured.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    duration: u64,
    /// Let replicas watch where possible, or only list every interval.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Measure the bare-transport baseline too, for limits relative to it: `loadtest limit` against the same clusters
    /// before the replicas start, and the hub storing forty statuses a second after they have ended.
    #[arg(long)]
    limit: bool,
    /// Measure another operator first: a shell command that uses the hub in $KUBECONFIG and the same Secrets.
    #[arg(long, value_name = "CMD")]
    baseline: Option<String>,
    /// Extra flag for every replica, as --flag=--interval=10s; repeatable.
    #[arg(long = "flag", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Seed of the choice of components that break.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The ksit program [default: the one next to this program]
    #[arg(long, value_name = "FILE")]
    ksit: Option<PathBuf>,
    /// Write the report as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report as Markdown, with plots, to this directory.
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let plan = match Scenario::from_str(&args.scenario, false) {
        Ok(scenario) => Plan::BuiltIn(scenario),
        Err(_) => Plan::Script(script_name(&args.scenario), Script::load(&args.scenario)?),
    };
    let settings = Settings {
        plan,
        ksit: command::ksit(args.ksit)?,
        provider: args.provider,
        targets: args.targets,
        replicas: args.replicas,
        times: args.times,
        duration: Duration::from_secs(args.duration),
        mode: args.mode,
        measure_baseline: args.limit,
        comparator: args.baseline,
        flags: args.flags,
        seed: args.seed,
    };
    let report = tokio::select! {
        report = run::run(&settings) => report?,
        _ = command::interrupted() => return Err("interrupted; everything that was started has ended".into()),
    };
    println!("{}\n{}", report.verdict_table(), report.table());
    if let Some(file) = args.json {
        std::fs::write(&file, serde_json::to_string_pretty(&report)? + "\n")
            .map_err(|error| format!("--json: {}: {error}", file.display()))?;
    }
    if let Some(folder) = args.report {
        run::write(&report, &folder).map_err(|error| format!("--report: {}: {error}", folder.display()))?;
    }
    if report.is_ok() { Ok(()) } else { Err("a limit was missed".into()) }
}

/// Name of a scenario file in its report.
fn script_name(scenario: &str) -> String {
    let path = std::path::Path::new(scenario);
    path.file_stem().map_or_else(|| scenario.to_owned(), |stem| stem.to_string_lossy().into_owned())
}
