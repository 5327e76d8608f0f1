//! What the replicas take of the machine, and how much of the fleet they cover, second by second.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::observe::{Seat, Seen, look_at};
use crate::usage::Usage;

const EVERY: Duration = Duration::from_secs(1);

/// How often one process is looked at closely: it waits for the walk through its pages meanwhile, and others for the
/// core.
const CLOSELY: Duration = Duration::from_secs(30);

/// All replicas at one moment.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// Seconds since the start of the run.
    pub at: f64,
    /// MiB, as PSS.
    pub memory: f64,
    /// Cores that were busy since the sample before.
    pub cores: f64,
    pub threads: u64,
    pub fds: u64,
    /// Targets that their owners have observed; none while nobody leads.
    pub covered: Option<f64>,
}

struct State {
    seats: BTreeMap<u32, Seat>,
    samples: Vec<Sample>,
}

/// Samples until it is dropped.
pub struct Sampler {
    began: Instant,
    state: Arc<Mutex<State>>,
    _task: JoinSet<()>,
}

impl Sampler {
    pub fn start(targets: u32) -> Self {
        let (began, mut tasks) = (Instant::now(), JoinSet::new());
        let state = Arc::new(Mutex::new(State { seats: BTreeMap::new(), samples: Vec::new() }));
        tasks.spawn(sample(state.clone(), began, targets));
        Self { began, state, _task: tasks }
    }

    /// These are the processes now.
    pub fn seat(&self, seats: BTreeMap<u32, Seat>) {
        lock(&self.state).seats = seats;
    }

    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// From that second on.
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
    let (mut before, mut looked) = (BTreeMap::<u32, Usage>::new(), Looked::default());
    let mut then = began;
    loop {
        ticks.tick().await;
        let seats = lock(&state).seats.clone();
        let now: BTreeMap<u32, Usage> =
            seats.values().filter_map(|seat| Some((seat.pid, looked.usage(seat.pid).ok()?))).collect();
        looked.forget_one(&now);
        let elapsed = std::mem::replace(&mut then, Instant::now());
        let elapsed = then - elapsed;
        // A process that is new has used what it used since it began.
        let cores =
            now.iter().map(|(pid, usage)| usage.cores_since(before.get(pid).unwrap_or(&Usage::default()), elapsed));
        let cores: f64 = cores.sum();
        let all = Usage::sum(now.values().copied());
        let seen: Option<Seen> = look_at(&seats).await;
        let sample = Sample {
            at: began.elapsed().as_secs_f64(),
            memory: all.pss as f64 / 1024.0,
            cores,
            threads: all.threads,
            fds: all.fds,
            covered: seen.map(|seen| f64::from(targets) - seen.unobserved.max(seen.orphaned)),
        };
        before = now;
        if !seats.is_empty() {
            lock(&state).samples.push(sample);
        }
    }
}

/// What each process took when it was last looked at closely, and when that was.
#[derive(Default)]
struct Looked(BTreeMap<u32, (Instant, Usage)>);

impl Looked {
    fn usage(&mut self, pid: u32) -> io::Result<Usage> {
        if let Some((_, looked)) = self.0.get(&pid) {
            return Usage::glance(pid, looked);
        }
        let usage = Usage::of(pid)?;
        self.0.insert(pid, (Instant::now(), usage));
        Ok(usage)
    }

    /// So that it is looked at next time; never two at once. Also those that have ended.
    fn forget_one(&mut self, living: &BTreeMap<u32, Usage>) {
        self.0.retain(|pid, _| living.contains_key(pid));
        let stalest = self.0.iter().min_by_key(|(_, (at, _))| *at);
        if let Some((&pid, (at, _))) = stalest
            && at.elapsed() > CLOSELY
        {
            self.0.remove(&pid);
        }
    }
}
