//! Runs a script: executes its steps and measures phase by phase.
//!
//! ```text
//! Script ─> Director ──> Clusters (break, inject, delay)    hub (Secrets, targets)   replicas (kill, restart)
//!              │
//!              └─ a phase ends ─> Statuses (detection) + Sampler (memory, CPU) + audit log + counters ─> measures
//! ```

mod rotation;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use simulator::{ComponentId, Fault, Health};
use testkit::Process;
use tokio::time::{Instant, sleep, sleep_until};

use super::clusters::Clusters;
use super::fleet::{CONCURRENT_WRITES, add_target, remove_target};
use super::phase::Phase;
use super::proxied::through_proxy;
use super::rhythm::Rhythm;
use super::sampler::Sampler;
use super::script::{BreakAndMend, Inject, Role, Script, Step};
use super::statuses::{FAILED, Group, RUNNING, Statuses};
use super::versions::Versions;
use super::{Fleet, Measure, RunError, baseline, report};

/// Time limit for a replica to end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Director {
    pub(super) fleet: Fleet,
    pub(super) statuses: Statuses,
    pub(super) sampler: Sampler,
    /// Whether the baseline is measured.
    measure_baseline: bool,
    /// Seconds that the baseline just took, for comparison with the next start; alone, and with the hub.
    recent_baselines: BTreeMap<&'static str, f64>,
    random: StdRng,
    vital: Vec<ComponentId>,
    /// Broken components, with the time at which each is due for repair.
    broken: VecDeque<(Instant, u32, ComponentId)>,
    faulty: BTreeSet<u32>,
    /// Targets whose watches deliver nothing.
    quiet: BTreeSet<u32>,
    removed: Vec<u32>,
    versions: Versions,
    /// In front of all targets, if a step has asked for it.
    proxy: Option<Process>,
    phase: Phase,
    measures: Vec<Measure>,
}

impl Director {
    /// `seed` decides only which components break.
    pub(super) fn new(fleet: Fleet, sampler: Sampler, measure_baseline: bool, seed: u64) -> Result<Self, RunError> {
        let vital = Clusters::vital().into_iter().map(|component| component.id).collect();
        let phase = Phase::begin("start", &fleet, &sampler)?;
        Ok(Self {
            statuses: Statuses::watch(fleet.client.clone()),
            fleet,
            sampler,
            measure_baseline,
            recent_baselines: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
            vital,
            broken: VecDeque::new(),
            faulty: BTreeSet::new(),
            quiet: BTreeSet::new(),
            removed: Vec::new(),
            versions: Versions::default(),
            proxy: None,
            phase,
            measures: Vec::new(),
        })
    }

    /// The very first start: no target has its slot label yet.
    pub(super) async fn start(&mut self, replicas: u32) -> Result<(), RunError> {
        self.start_together("first start", replicas).await.map(drop)
    }

    /// Starts the replicas together and returns the seconds until every target was observed.
    async fn start_together(&mut self, which: &str, replicas: u32) -> Result<f64, RunError> {
        eprintln!("starting {replicas} replicas");
        let start = self.fleet.scale_up(replicas).await?;
        self.sampler.set_processes(self.fleet.processes());
        self.fleet.settle().await?;
        let took = start.elapsed().as_secs_f64();
        eprintln!("all targets observed after {took:.1} s");
        let name = format!("{which} until every target was observed");
        self.record(Measure::new(&name, "s", vec![took], None));
        Ok(took)
    }

    async fn baseline_again(&mut self, with_hub: bool) -> Result<(), RunError> {
        if self.measure_baseline {
            self.rest().await?;
            let (name, baseline) = match with_hub {
                true => {
                    ("the baseline with the hub", baseline::transport_with_hub(&self.fleet, self.fleet.count).await?)
                }
                false => ("the baseline", baseline::transport_again(&self.fleet, self.fleet.count).await?),
            };
            self.recent_baselines.insert(name, baseline.max);
            self.record(baseline);
        }
        Ok(())
    }

    async fn cold_start(&mut self) -> Result<(), RunError> {
        self.rest().await?;
        let took = self.start_together("cold start", self.fleet.count).await?;
        for (name, baseline) in std::mem::take(&mut self.recent_baselines) {
            self.record(Measure::new(&format!("cold start: times {name} beside it"), "", vec![took / baseline], None));
        }
        Ok(())
    }

    /// Ends the replicas and waits: the clusters take a while to close the former connections.
    async fn rest(&mut self) -> Result<(), RunError> {
        self.stop_replicas().await?;
        sleep(baseline::QUIET).await;
        Ok(())
    }

    /// Ends all replicas together.
    pub(super) async fn stop_replicas(&mut self) -> Result<(), RunError> {
        let ending = (0..self.fleet.count).filter_map(|ordinal| self.fleet.replicas.take(ordinal));
        let ended = join_all(ending.map(|replica| replica.stop(PATIENCE))).await;
        self.sampler.set_processes(self.fleet.processes());
        for ended in ended {
            ended?.ok_or("a replica did not end after SIGTERM")?;
        }
        Ok(())
    }

    /// Runs the script to its end or to the first step that fails. The measures until then are returned in either case.
    pub(super) async fn run(&mut self, script: &Script) -> (Vec<Measure>, Result<(), RunError>) {
        let result = self.steps(&script.steps).await;
        let ended = self.next_phase("end");
        (std::mem::take(&mut self.measures), result.and(ended))
    }

    async fn steps(&mut self, steps: &[Step]) -> Result<(), RunError> {
        for step in steps {
            eprintln!("[{:>5.0} s] {step:?}", self.sampler.now());
            match step {
                Step::Repeat(repeat) => {
                    for _ in 0..repeat.times {
                        Box::pin(self.steps(&repeat.steps)).await?;
                    }
                }
                step => self.step(step).await?,
            }
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step) -> Result<(), RunError> {
        match step {
            Step::Phase(name) => self.next_phase(name)?,
            Step::Wait(time) => sleep((*time).into()).await,
            Step::UntilRight(patience) => self.until_right((*patience).into()).await?,
            Step::BreakAndMend(how) => self.break_and_mend(how).await?,
            Step::BreakAll => self.break_all().await?,
            Step::MendAll => self.mend_due(None).await?,
            Step::Inject(Inject { fault, share }) => self.inject(*fault, *share)?,
            Step::Heal => self.heal()?,
            Step::Delay(delay) => self.fleet.clusters.simulator()?.delay((*delay).into()),
            Step::Kill(role) => self.kill(*role).await?,
            Step::RestartReplicas => self.restart_replicas().await?,
            Step::Baseline => self.baseline_again(false).await?,
            Step::BaselineWithHub => self.baseline_again(true).await?,
            Step::ColdStart => self.cold_start().await?,
            Step::Rotate(how) => self.rotate(how).await?,
            Step::Proxy => self.proxy = Some(through_proxy(&self.fleet).await?),
            Step::Versions(count) => {
                let measures = self.versions.spread(&self.fleet, self.phase.name(), *count).await?;
                measures.into_iter().for_each(|measure| self.record(measure));
            }
            Step::Upgrade(count) => {
                let measures = self.versions.upgrade(&self.fleet, self.phase.name(), *count).await?;
                measures.into_iter().for_each(|measure| self.record(measure));
            }
            Step::RemoveTargets(count) => self.remove_targets(*count).await?,
            Step::AddTargets => self.add_targets().await?,
            Step::Repeat(_) => {}
        }
        self.sampler.set_processes(self.fleet.processes());
        Ok(())
    }

    fn next_phase(&mut self, name: &str) -> Result<(), RunError> {
        let next = Phase::begin(name, &self.fleet, &self.sampler)?;
        let ended = std::mem::replace(&mut self.phase, next);
        ended.end(&mut self.fleet, &self.sampler, &self.statuses)?.into_iter().for_each(|measure| self.record(measure));
        Ok(())
    }

    fn record(&mut self, measure: Measure) {
        report::record(&mut self.measures, measure);
    }

    async fn until_right(&mut self, patience: Duration) -> Result<(), RunError> {
        let failed: BTreeSet<u32> =
            self.broken.iter().map(|(_, number, _)| *number).chain(self.faulty.iter().copied()).collect();
        let targets = self.fleet.targets - self.removed.len() as u32;
        self.statuses.until_right(targets, failed.len() as u32, patience).await
    }

    /// Breaks components at the given rate and repairs each when due; returns when all are repaired.
    async fn break_and_mend(&mut self, how: &BreakAndMend) -> Result<(), RunError> {
        let (hold, lasts): (Duration, Duration) = (how.hold.into(), how.r#for.into());
        let ids = if how.managed { self.fleet.clusters.managed()? } else { self.vital.clone() };
        let start = Instant::now();
        let (mut breaks, mut touches) = (Rhythm::new(how.breaks_per_second), Rhythm::new(how.touches_per_second));
        while start.elapsed() < lasts {
            let next = breaks.due(start).min(touches.due(start)).min(start + lasts);
            sleep_until(next).await;
            self.mend_due(Some(Instant::now())).await?;
            if touches.is_due(start)
                && let Some(target) = self.healthy_target()
            {
                let id = ids[self.random.random_range(0..ids.len())];
                self.fleet.clusters.simulator()?.touch(target, id);
            }
            if breaks.is_due(start)
                && let Some(target) = self.healthy_target()
            {
                let id = ids[self.random.random_range(0..ids.len())];
                self.break_one(target, id, hold).await?;
            }
        }
        while let Some((due, ..)) = self.broken.front() {
            sleep_until(*due).await;
            self.mend_due(Some(Instant::now())).await?;
        }
        Ok(())
    }

    /// A random target that exists, has no fault, and whose status is Running.
    fn healthy_target(&mut self) -> Option<u32> {
        const TRIES: u32 = 100;
        (0..TRIES).map(|_| self.random.random_range(0..self.fleet.targets)).find(|number| {
            !self.faulty.contains(number)
                && !self.removed.contains(number)
                && !self.broken.iter().any(|(_, broken, _)| broken == number)
                && self.statuses.is(*number, RUNNING)
        })
    }

    async fn break_one(&mut self, number: u32, id: ComponentId, hold: Duration) -> Result<(), RunError> {
        self.statuses.expect(number, FAILED, Group::Change);
        self.fleet.clusters.set(number, id, Health::Broken).await?;
        self.broken.push_back((Instant::now() + hold, number, id));
        Ok(())
    }

    async fn break_all(&mut self) -> Result<(), RunError> {
        let id = self.vital[self.random.random_range(0..self.vital.len())];
        for number in 0..self.fleet.targets {
            self.break_one(number, id, Duration::ZERO).await?;
        }
        Ok(())
    }

    /// Repairs the components due by `by`; without it, all of them.
    async fn mend_due(&mut self, by: Option<Instant>) -> Result<(), RunError> {
        while let Some((due, number, id)) = self.broken.front().copied() {
            if by.is_some_and(|by| due > by) {
                break;
            }
            self.broken.pop_front();
            self.statuses.expect(number, RUNNING, Group::Change);
            self.fleet.clusters.set(number, id, Health::Healthy).await?;
        }
        Ok(())
    }

    fn inject(&mut self, fault: Fault, share: f64) -> Result<(), RunError> {
        let simulator = self.fleet.clusters.simulator()?;
        for number in simulator.share(share) {
            if fault == Fault::QuietWatches {
                // No status changes until something breaks behind it.
                self.quiet.insert(number);
            } else if self.faulty.insert(number) {
                self.statuses.expect(number, FAILED, Group::Fault);
            }
            simulator.inject(number, Some(fault));
        }
        Ok(())
    }

    fn heal(&mut self) -> Result<(), RunError> {
        self.record_failure_reasons();
        let simulator = self.fleet.clusters.simulator()?;
        for number in std::mem::take(&mut self.faulty) {
            self.statuses.expect(number, RUNNING, Group::Fault);
            simulator.inject(number, None);
        }
        std::mem::take(&mut self.quiet).into_iter().for_each(|number| simulator.inject(number, None));
        Ok(())
    }

    /// Counts the faulty targets by the reason that their status reports.
    fn record_failure_reasons(&mut self) {
        let (mut unreported, mut reasons) = (0, BTreeMap::<String, u32>::new());
        for number in &self.faulty {
            match self.statuses.failure_reason(*number) {
                Some(reason) => *reasons.entry(reason).or_default() += 1,
                None => unreported += 1,
            }
        }
        let reported =
            reasons.into_iter().map(|(reason, count)| (format!("faulty targets reported as {reason}"), count));
        for (what, count) in reported.chain([("faulty targets not reported".to_owned(), unreported)]) {
            let name = format!("{}: {what}", self.phase.name());
            self.record(Measure::new(&name, "", vec![f64::from(count)], None));
        }
    }

    async fn kill(&mut self, role: Role) -> Result<(), RunError> {
        let before = self.fleet.settle().await?;
        let worker = (0..self.fleet.count).find(|ordinal| *ordinal != before.coordinator);
        let victim = match role {
            Role::Coordinator => before.coordinator,
            Role::Worker => worker.ok_or("a worker needs two replicas")?,
        };
        let start = Instant::now();
        self.fleet.replicas.kill(victim);
        let others = self.fleet.count - 1;
        self.sampler.set_processes(self.fleet.processes());
        let recovered = self.fleet.until_recovered(start, &before, others, role == Role::Coordinator).await?;
        let name = format!("{}: killed until all was observed", self.phase.name());
        self.record(Measure::new(&name, "s", vec![recovered.took], None));
        self.fleet.replicas.start(victim).await?;
        self.sampler.set_processes(self.fleet.processes());
        self.fleet.settle().await?;
        Ok(())
    }

    async fn restart_replicas(&mut self) -> Result<(), RunError> {
        for ordinal in (0..self.fleet.count).rev() {
            let before = self.fleet.division().await?;
            let process = self.fleet.replicas.take(ordinal).ok_or("the replica is not running")?;
            process.stop(PATIENCE).await?.ok_or("the replica did not end after SIGTERM")?;
            self.fleet.replicas.start(ordinal).await?;
            self.sampler.set_processes(self.fleet.processes());
            self.fleet.until_replaced(&before, ordinal).await?;
            self.fleet.settle().await?;
        }
        Ok(())
    }

    /// Removes the last `count` targets that exist.
    async fn remove_targets(&mut self, count: u32) -> Result<(), RunError> {
        let present = (0..self.fleet.targets).rev().filter(|number| !self.removed.contains(number));
        let chosen: Vec<u32> = present.take(count as usize).collect();
        chosen.iter().for_each(|number| self.statuses.forget(*number));
        let client = &self.fleet.client;
        stream::iter(&chosen)
            .map(|number| remove_target(client, *number))
            .buffer_unordered(CONCURRENT_WRITES)
            .try_collect::<()>()
            .await?;
        self.removed.extend(chosen);
        Ok(())
    }

    async fn add_targets(&mut self) -> Result<(), RunError> {
        let (client, clusters) = (&self.fleet.client, &self.fleet.clusters);
        stream::iter(std::mem::take(&mut self.removed))
            .map(|number| add_target(client, clusters, number))
            .buffer_unordered(CONCURRENT_WRITES)
            .try_collect::<()>()
            .await
    }
}
