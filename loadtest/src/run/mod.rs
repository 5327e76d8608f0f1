//! Load tests: a real hub, real replicas, clusters that are simulated or real, and figures at the end.
//!
//! ```text
//! Clusters (N API servers)  <── replicas (processes) ──> hub (etcd, kube-apiserver)
//!        ▲                            │ /metrics, /proc         │ audit log, map, statuses
//!        └── scenario (built in, or a script) ──────────────────┘──> Report (tables, JSON, SVG)
//! ```

mod beside;
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
mod rebalance;
mod report;
mod sampler;
mod script;
mod statuses;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use clusters::{Clusters, Provider};
pub use fleet::{Fleet, NAMESPACE};
pub use machine::Machine;
pub use observe::Seat;
pub use report::{Measure, Report, Verdict};
pub use sampler::Sample;
pub use script::Script;

use crate::checker;
use crate::kind::KindCluster;
use director::Director;
use sampler::Sampler;

pub(crate) type RunError = Box<dyn std::error::Error + Send + Sync>;

/// Scenarios that are more than steps.
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

/// What is played.
#[derive(Clone, Debug)]
pub enum Plan {
    BuiltIn(Scenario),
    Script(String, Script),
}

/// Whether replicas may watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// As ksit does by itself.
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

/// What a run is told.
#[derive(Clone, Debug)]
pub struct Settings {
    pub plan: Plan,
    pub ksit: PathBuf,
    pub provider: Provider,
    pub targets: u32,
    pub replicas: u32,
    /// How often each fault is made; `None`: as often as the scenario does by default.
    pub times: Option<u32>,
    /// Of `idle`, and of each comparator's idleness.
    pub duration: Duration,
    pub mode: Mode,
    /// Whether the floor is measured, before and after.
    pub floor: bool,
    /// Another operator that is measured first.
    pub baseline: Option<String>,
    /// More flags for the replicas.
    pub flags: Vec<String>,
    pub seed: u64,
}

/// Runs the scenario; everything it started has ended when this returns.
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
    settings.say_start();
    let integrations: Vec<&str> = script.integrations.iter().map(String::as_str).collect();
    let flags = settings.all_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let fleet = Fleet::prepare_with(&settings.ksit, settings.provider, settings.targets, &integrations, &flags).await?;
    let mut measures = Vec::new();
    if settings.floor {
        measures.extend(beside::floor(&fleet, settings.replicas, settings.duration).await?);
    }
    if let Some(command) = &settings.baseline {
        measures.extend(beside::baseline(&fleet, command, settings.duration).await?);
    }
    let sampler = Sampler::start(settings.targets);
    let mut director = Director::new(fleet, sampler, settings.floor, settings.seed)?;
    director.start(settings.replicas).await?;
    let (played, mut ended) = director.play(script).await;
    played.into_iter().for_each(|measure| report::note(&mut measures, measure));
    measures.push(violations(&director.fleet)?);
    let samples = director.sampler.since(0.0);
    if settings.floor {
        match hub_floor(&mut director).await {
            Ok(floor) => measures.extend(floor),
            // What was measured until then is worth having too.
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

async fn hub_floor(director: &mut Director) -> Result<Vec<Measure>, RunError> {
    director.stop_replicas().await?;
    beside::hub_floor(&director.fleet).await
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

/// Writes the page and its pictures into a folder.
pub fn write(report: &Report, folder: &Path) -> Result<(), RunError> {
    std::fs::create_dir_all(folder)?;
    let plots = plots::draw(report, folder)?;
    std::fs::write(folder.join(format!("{}.md", report.scenario)), report.page(&plots))?;
    Ok(())
}

impl Settings {
    /// Err names what only simulated clusters can do.
    fn check(&self) -> Result<(), RunError> {
        if self.provider == Provider::Sim {
            return Ok(());
        }
        let (scenario, needs) = match &self.plan {
            // It asks when each cluster was asked last.
            Plan::BuiltIn(Scenario::Outage) => ("outage".to_owned(), Some("outage".to_owned())),
            Plan::BuiltIn(scenario) => (format!("{scenario:?}").to_lowercase(), None),
            Plan::Script(name, script) => (name.clone(), script.needs_simulator()),
        };
        let needs = needs.or(self.floor.then(|| "--limit".to_owned()));
        match needs {
            None => Ok(()),
            Some(what) => Err(format!(
                "scenario {scenario}: {what} needs simulated clusters: --provider sim, not {}",
                self.provider.name()
            )
            .into()),
        }
    }

    fn say_start(&self) {
        eprintln!("starting the hub and {} targets, provider {}", self.targets, self.provider.name());
    }

    fn all_flags(&self) -> Vec<String> {
        let mode = (self.mode == Mode::Poll).then(|| "--check-mode=poll".to_owned());
        self.flags.iter().cloned().chain(mode).collect()
    }
}

async fn start(settings: &Settings) -> Result<Fleet, RunError> {
    settings.say_start();
    let flags = settings.all_flags();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut fleet = Fleet::prepare_with(&settings.ksit, settings.provider, settings.targets, &["flux"], &flags).await?;
    eprintln!("starting {} replicas", settings.replicas);
    let start = fleet.scale_up(settings.replicas).await?;
    fleet.settle().await?;
    eprintln!("all clusters observed after {:.1} s", start.elapsed().as_secs_f64());
    fleet.until_phases(0, Duration::from_secs(120)).await?;
    eprintln!("all statuses written after {:.1} s", start.elapsed().as_secs_f64());
    Ok(fleet)
}
