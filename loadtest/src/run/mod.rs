//! Runs load tests: a real hub, real replicas and simulated or real clusters, with a report of measures.
//!
//! ```text
//! Clusters (N API servers)  <── replicas (processes) ──> hub (etcd, kube-apiserver)
//!        ▲                            │ /metrics, /proc         │ audit log, map, statuses
//!        └── scenario (built in, or a script) ──────────────────┘──> Report (tables, JSON, SVG)
//! ```

mod baseline;
mod clusters;
mod director;
mod failover;
mod fleet;
mod idle;
mod machine;
mod observe;
mod outage;
mod phase;
mod plots;
mod proxied;
mod rebalance;
mod report;
mod rhythm;
mod sampler;
mod script;
mod statuses;
mod versions;

use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::kind::KindCluster;

pub use clusters::{Clusters, Provider};
pub use fleet::{Fleet, NAMESPACE};
pub use report::Report;
pub use script::Script;

use crate::checker;
use director::Director;
use machine::Machine;
use report::{Measure, Verdict};
use sampler::Sampler;

pub(crate) type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Scenarios in code, for what a script cannot express.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Kill the coordinator and workers; time until the others have observed all their clusters.
    Failover,
    /// Scale down and up, and restart one replica after the other; duration and slots moved.
    Rebalance,
    /// Stop the API server, then etcd alone, for a minute; slots moved and time until statuses are right again.
    Outage,
    /// Leave a healthy fleet alone; writes to the hub.
    Idle,
}

/// The scenario of a run.
#[derive(Clone, Debug)]
pub enum Plan {
    /// A scenario in code.
    BuiltIn(Scenario),
    /// The name for the report, and the steps.
    Script(String, Script),
}

/// Whether replicas may watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// ksit's default.
    #[default]
    Auto,
    /// Lists every interval.
    Poll,
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

/// Settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The steps of the run.
    pub plan: Plan,
    /// The ksit program of the replicas.
    pub ksit: PathBuf,
    /// Kind of the targets.
    pub provider: Provider,
    /// Number of targets.
    pub targets: u32,
    /// Number of replicas at the start.
    pub replicas: u32,
    /// Repetitions of each fault; `None` for the scenario's default.
    pub times: Option<u32>,
    /// Duration of `idle`, and of the idle measurement of baseline and comparator.
    pub duration: Duration,
    /// Check mode of all replicas.
    pub mode: Mode,
    /// Whether the baseline is measured, before and after (`--limit`).
    pub measure_baseline: bool,
    /// Command of another operator, measured first (`--baseline`).
    pub comparator: Option<String>,
    /// Extra flags for the replicas.
    pub flags: Vec<String>,
    /// Seed of the choice of components that break.
    pub seed: u64,
}

/// Runs the scenario and ends everything it started.
///
/// # Errors
/// Fails if a process does not start, the hub refuses a write, or the fleet does not recover in time. A step of a
/// script that fails is a missed limit of the report instead.
pub async fn run(settings: &Settings) -> Result<Report, RunError> {
    settings.check()?;
    if settings.provider == Provider::Kind {
        KindCluster::can_be_made().await?;
    }
    match &settings.plan {
        Plan::BuiltIn(scenario) => built_in(settings, *scenario).await,
        Plan::Script(name, script) => scripted(settings, name, script).await,
    }
}

async fn built_in(settings: &Settings, scenario: Scenario) -> Result<Report, RunError> {
    let mut fleet = start(settings).await?;
    let times = settings.times.unwrap_or(scenario.times());
    let mut measures = match scenario {
        Scenario::Failover => failover::run(&mut fleet, times).await?,
        Scenario::Rebalance => rebalance::run(&mut fleet, times).await?,
        Scenario::Outage => outage::run(&mut fleet, times).await?,
        Scenario::Idle => idle::run(&mut fleet, settings.duration).await?,
    };
    measures.push(violations(&fleet)?);
    report(settings, format!("{scenario:?}").to_lowercase(), &fleet, measures).await
}

async fn scripted(settings: &Settings, name: &str, script: &Script) -> Result<Report, RunError> {
    settings.log_start();
    let integrations: Vec<&str> = script.integrations.iter().map(String::as_str).collect();
    let flags = settings.all_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let fleet =
        Fleet::prepare_with(&settings.ksit, settings.provider, settings.targets, script.managed, &integrations, &flags)
            .await?;
    let mut measures = Vec::new();
    if settings.measure_baseline {
        measures.extend(baseline::transport(&fleet, settings.replicas, settings.duration).await?);
    }
    if let Some(command) = &settings.comparator {
        measures.extend(baseline::comparator(&fleet, command, settings.duration).await?);
    }
    let sampler = Sampler::start(settings.targets);
    let mut director = Director::new(fleet, sampler, settings.measure_baseline, settings.seed)?;
    director.start(settings.replicas).await?;
    let (measured, mut ended) = director.run(script).await;
    measured.into_iter().for_each(|measure| report::record(&mut measures, measure));
    measures.push(violations(&director.fleet)?);
    let samples = director.sampler.since(0.0);
    if settings.measure_baseline {
        match hub_baseline(&mut director).await {
            Ok(baseline) => measures.extend(baseline),
            // Keep the measures until then.
            Err(error) => ended = ended.and(Err(error)),
        }
    }
    let mut report = report(settings, name.to_owned(), &director.fleet, measures).await?;
    report.verdicts = script.limits.iter().map(|bound| Verdict::of(bound, &report.measures)).collect();
    report.verdicts.extend(ended.err().map(|error| Verdict::stopped(&error)));
    report.about.clone_from(&script.about);
    report.samples = samples;
    Ok(report)
}

async fn hub_baseline(director: &mut Director) -> Result<Vec<Measure>, RunError> {
    director.stop_replicas().await?;
    baseline::hub(&director.fleet).await
}

fn violations(fleet: &Fleet) -> Result<Measure, RunError> {
    let checked = checker::check(&fleet.hub.audit(), None)?;
    checked.violations.iter().for_each(|violation| eprintln!("violation: {violation}"));
    let violations = vec![checked.violations.len() as f64];
    Ok(Measure::new("violations of the invariants, by the audit log", "", violations, Some(0.0)))
}

async fn report(
    settings: &Settings,
    scenario: String,
    fleet: &Fleet,
    measures: Vec<Measure>,
) -> Result<Report, RunError> {
    let version = fleet.client.apiserver_version().await?.git_version;
    Ok(Report {
        scenario,
        about: String::new(),
        provider: settings.provider.name().to_owned(),
        mode: format!("{:?}", settings.mode).to_lowercase(),
        targets: settings.targets,
        replicas: settings.replicas,
        machine: Machine::look(&settings.ksit, version),
        measures,
        verdicts: Vec::new(),
        samples: Vec::new(),
    })
}

/// Writes the Markdown page and its plots into a folder.
pub(crate) fn write(report: &Report, folder: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(folder)?;
    let plots = plots::draw(report, folder)?;
    std::fs::write(folder.join(format!("{}.md", report.scenario)), report.page(&plots))?;
    Ok(())
}

impl Settings {
    /// Refuses settings that need simulated clusters with any other provider.
    fn check(&self) -> Result<(), RunError> {
        if self.provider == Provider::Sim {
            return Ok(());
        }
        let (scenario, needs) = match &self.plan {
            // It reads the time of each cluster's last request from the simulator.
            Plan::BuiltIn(Scenario::Outage) => ("outage".to_owned(), Some("outage".to_owned())),
            Plan::BuiltIn(scenario) => (format!("{scenario:?}").to_lowercase(), None),
            Plan::Script(name, script) => (name.clone(), script.needs_simulator()),
        };
        let needs = needs.or(self.measure_baseline.then(|| "--limit".to_owned()));
        match needs {
            None => Ok(()),
            Some(what) => Err(format!(
                "scenario {scenario}: {what} needs simulated clusters: --provider sim, not {}",
                self.provider.name()
            )
            .into()),
        }
    }

    fn log_start(&self) {
        eprintln!("starting the hub and {} targets, provider {}", self.targets, self.provider.name());
    }

    fn all_flags(&self) -> Vec<String> {
        let mode = (self.mode == Mode::Poll).then(|| "--check-mode=poll".to_owned());
        let has_proxy = match &self.plan {
            Plan::Script(_, script) => script.steps.iter().any(|step| matches!(step, script::Step::Proxy)),
            Plan::BuiltIn(_) => false,
        };
        let proxy = has_proxy.then(|| "--allow-proxies=127.0.0.1".to_owned());
        self.flags.iter().cloned().chain(mode).chain(proxy).collect()
    }
}

async fn start(settings: &Settings) -> Result<Fleet, RunError> {
    settings.log_start();
    let flags = settings.all_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut fleet =
        Fleet::prepare_with(&settings.ksit, settings.provider, settings.targets, 0, &["flux"], &flags).await?;
    eprintln!("starting {} replicas", settings.replicas);
    let start = fleet.scale_up(settings.replicas).await?;
    fleet.settle().await?;
    eprintln!("all clusters observed after {:.1} s", start.elapsed().as_secs_f64());
    fleet.until_phases(0, Duration::from_secs(120)).await?;
    eprintln!("all statuses written after {:.1} s", start.elapsed().as_secs_f64());
    Ok(fleet)
}
