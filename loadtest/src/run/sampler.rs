//! Samples the replicas' resource usage and their coverage of the fleet once a second.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use testkit::usage::Usage;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::observe::{CoordinatorMetrics, ReplicaProcess, coordinator_metrics};

const EVERY: Duration = Duration::from_secs(1);

/// Interval of full memory reads per process: a read walks all pages, which blocks the process and occupies a core.
const FULL_READ_INTERVAL: Duration = Duration::from_secs(30);

/// All replicas at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds since the start of the run.
    pub at: f64,
    /// MiB, as PSS.
    pub memory: f64,
    /// Cores used since the previous sample.
    pub cores: f64,
    pub threads: u64,
    pub fds: u64,
    /// Targets observed by their owners; `None` while there is no coordinator.
    pub covered: Option<f64>,
}

struct State {
    processes: BTreeMap<u32, ReplicaProcess>,
    samples: Vec<Sample>,
}

/// Samples until dropped.
pub struct Sampler {
    began: Instant,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

impl Sampler {
    pub fn start(targets: u32) -> Self {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        let state = Arc::new(Mutex::new(State { processes: BTreeMap::new(), samples: Vec::new() }));
        tasks.spawn(sample(state.clone(), began, targets));
        Self { began, state, _task: tasks }
    }

    /// Replaces the sampled processes.
    pub fn set_processes(&self, processes: BTreeMap<u32, ReplicaProcess>) {
        lock(&self.state).processes = processes;
    }

    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// The samples from second `at` on.
    pub fn since(&self, at: f64) -> Vec<Sample> {
        lock(&self.state).samples.iter().filter(|sample| sample.at >= at).copied().collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn sample(state: Arc<Mutex<State>>, began: Instant, targets: u32) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut full_reads) = (BTreeMap::<u32, Usage>::new(), FullReads::default());
    let mut then = began;
    loop {
        ticks.tick().await;
        let processes = lock(&state).processes.clone();
        let now: BTreeMap<u32, Usage> =
            processes.values().filter_map(|process| Some((process.pid, full_reads.usage(process.pid).ok()?))).collect();
        full_reads.expire_one(&now);
        let elapsed = std::mem::replace(&mut then, Instant::now());
        let elapsed = then - elapsed;
        // A new process counts with its usage since its start.
        let cores =
            now.iter().map(|(pid, usage)| usage.cores_since(before.get(pid).unwrap_or(&Usage::default()), elapsed));
        let cores: f64 = cores.sum();
        let all = Usage::sum(now.values().copied());
        let metrics: Option<CoordinatorMetrics> = coordinator_metrics(&processes).await;
        let sample = Sample {
            at: began.elapsed().as_secs_f64(),
            memory: all.pss as f64 / 1024.0,
            cores,
            threads: all.threads,
            fds: all.fds,
            covered: metrics.map(|metrics| f64::from(targets) - metrics.unobserved.max(metrics.orphaned)),
        };
        before = now;
        if !processes.is_empty() {
            lock(&state).samples.push(sample);
        }
    }
}

/// Time and result of each process's last full read.
#[derive(Default)]
struct FullReads(BTreeMap<u32, (Instant, Usage)>);

impl FullReads {
    fn usage(&mut self, pid: u32) -> io::Result<Usage> {
        if let Some((_, full_read)) = self.0.get(&pid) {
            return Usage::glance(pid, full_read);
        }
        let usage = Usage::of(pid)?;
        self.0.insert(pid, (Instant::now(), usage));
        Ok(usage)
    }

    /// Expires the oldest full read, at most one at a time, and removes ended processes.
    fn expire_one(&mut self, living: &BTreeMap<u32, Usage>) {
        self.0.retain(|pid, _| living.contains_key(pid));
        let stalest = self.0.iter().min_by_key(|(_, (at, _))| *at);
        if let Some((&pid, (at, _))) = stalest
            && at.elapsed() > FULL_READ_INTERVAL
        {
            self.0.remove(&pid);
        }
    }
}
