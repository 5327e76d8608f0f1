//! `loadtest run`

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use crate::run::{self, Mode, Plan, Provider, Scenario, Script, Settings};

/// Run a load test: a real hub and real replicas, with clusters that are simulated or real, all on this machine. Ctrl-C
/// cleans up.
///
/// Scenarios that come with the program: survey (most of the others in one run), cold-start, changes, detection,
/// idle-watch, hang, settle, blackout, all-break, kill, rotation, poison, poll and churn are scripts (look at
/// loadtest/scenarios/ to write one of your own); failover, rebalance, outage and idle are built in. The report says
/// how long it took until statuses showed what had happened, what the replicas took of the machine and asked of clusters
/// and hub, and whether the scenario's limits were kept. The exit code is 1 if one was missed.
///
/// Real targets (--provider local, kind) have the same tools, and break by what their objects say. Scenarios with
/// faults or delays of the network (survey, detection, hang, settle, blackout, rotation, poison, churn), outage and
/// --limit need simulated ones.
///
/// To size an installation: run survey with as many --targets as your fleet has, with --limit, and read memory and CPU
/// per target from the report.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The name of a scenario, or a file with one.
    #[arg(long, value_name = "NAME|FILE")]
    scenario: String,
    /// What the targets are. Only what is on this machine is ever loaded.
    #[arg(long, value_enum, default_value_t = Provider::Sim)]
    provider: Provider,
    /// Clusters.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    targets: u32,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=50))]
    replicas: u32,
    /// How often each fault is made [default: 25 for failover, 10 for rebalance, 3 for outage]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    times: Option<u32>,
    /// Seconds for which idle watches, and for which a comparator's CPU is measured.
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    duration: u64,
    /// Let replicas watch where they can, or only list every interval.
    #[arg(long, value_enum, default_value_t = Mode::Auto)]
    mode: Mode,
    /// Measure the floor too, for ratios to it: first `loadtest limit` against the same clusters; at the end, without
    /// replicas, what the hub takes to store forty statuses a second.
    #[arg(long)]
    limit: bool,
    /// Measure another operator first: a shell command that finds the hub by $KUBECONFIG and the same Secrets.
    #[arg(long, value_name = "CMD")]
    baseline: Option<String>,
    /// One more flag for every replica, as --flag=--interval=10s; can be given several times.
    #[arg(long = "flag", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Decides which components break.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The ksit program [default: the one beside this program]
    #[arg(long, value_name = "FILE")]
    ksit: Option<PathBuf>,
    /// Write the report there as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the report there as Markdown, with its plots.
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
        ksit: super::ksit(args.ksit)?,
        provider: args.provider,
        targets: args.targets,
        replicas: args.replicas,
        times: args.times,
        duration: Duration::from_secs(args.duration),
        mode: args.mode,
        floor: args.limit,
        baseline: args.baseline,
        flags: args.flags,
        seed: args.seed,
    };
    let report = tokio::select! {
        report = run::run(&settings) => report?,
        _ = super::interrupted() => return Err("interrupted; everything that was started has ended".into()),
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

/// What a scenario from a file is called in its report.
fn script_name(scenario: &str) -> String {
    let path = std::path::Path::new(scenario);
    path.file_stem().map_or_else(|| scenario.to_owned(), |stem| stem.to_string_lossy().into_owned())
}
