//! The truth checker: continuously breaks and repairs simulated clusters and times how long their statuses are wrong.
//!
//! ```text
//! flips ──> simulator          hub <── lists, several a second
//!   └──────────> Ledger <───────┘
//!                  └─> Findings: the longest time that a status was wrong, and that it was wrongly Running
//! ```
//!
//! The audit-log checker proves that nothing wrong is written. This one proves that the statuses on the hub are true
//! and fresh, which a fault that silences ksit violates without a single write. A cluster is flipped again only once
//! its status is right, so a status that falls behind stays wrong until the end.

mod ledger;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::ListParams;
use kube::{Client, ResourceExt};
use rand::seq::IteratorRandom;
use simulator::{ComponentId, Health, Kind, Simulator};
use testkit::resources::api;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

pub use ledger::{Findings, Worst};

use ledger::Ledger;

/// Interval of lists of the hub, and resolution of the findings.
const LIST_INTERVAL: Duration = Duration::from_millis(100);

/// Minimum time between a right status and the next flip of the cluster.
const REST: Duration = Duration::from_millis(500);

/// Interval of flips in the fleet.
const FLIP_INTERVAL: Duration = Duration::from_millis(200);

/// A status wrong for less than this may result from a flip in progress.
const FRESH: Duration = Duration::from_secs(2);

/// Time limit of a list, for a hub that is unreachable.
const LIST_TIMEOUT: Duration = Duration::from_secs(2);

/// The flipped clusters and their targets.
pub struct Watched {
    /// Client of the hub.
    pub client: Client,
    /// Namespace of the targets on the hub.
    pub namespace: String,
    /// Runs the clusters that are flipped.
    pub simulator: Arc<Simulator>,
    /// Label selector of the checked targets; empty for all in the namespace.
    pub selector: &'static str,
    /// Clusters that no fault affects.
    pub clusters: BTreeSet<u32>,
    /// Maps a cluster to the name of its target.
    pub name: fn(u32) -> String,
    /// The tool of which a Deployment is broken.
    pub tool: &'static str,
}

/// Flips and checks until dropped.
pub struct TruthChecker {
    ledger: Arc<Mutex<Ledger>>,
    watched: Arc<Watched>,
    /// `None` while at rest.
    flips: Option<JoinSet<()>>,
    _lists: JoinSet<()>,
}

impl TruthChecker {
    /// Starts to flip and to list at once; all clusters count as healthy, and their statuses as wrong until listed as
    /// Running.
    pub fn start(watched: Watched) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(watched.clusters.iter().copied(), Instant::now())));
        let watched = Arc::new(watched);
        let (mut lists, mut flips) = (JoinSet::new(), JoinSet::new());
        lists.spawn(check(watched.clone(), ledger.clone()));
        flips.spawn(flip(watched.clone(), ledger.clone()));
        Self { ledger, watched, flips: Some(flips), _lists: lists }
    }

    /// Clears the findings, flips for `time`, and returns the findings of that time.
    pub async fn during(&self, time: Duration) -> Findings {
        self.forget();
        sleep(time).await;
        self.findings()
    }

    /// Clears the findings until now.
    pub fn forget(&self) {
        lock(&self.ledger).reset(Instant::now());
    }

    /// The longest disagreements since the start or the last [`Self::forget`], including those that still last.
    pub fn findings(&self) -> Findings {
        lock(&self.ledger).findings(Instant::now())
    }

    /// Clusters whose status has been wrong for longer than a flip takes, with its phase.
    pub fn wrong(&self) -> Vec<(u32, String)> {
        lock(&self.ledger).wrong_for(FRESH, Instant::now())
    }

    /// Waits until no status is wrong; the error lists the wrong ones.
    ///
    /// # Errors
    /// Returns the wrong statuses if there are any after `patience`.
    pub async fn until_right(&self, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let wrong = self.wrong();
            match wrong.is_empty() {
                true => return Ok(()),
                false if start.elapsed() > patience => {
                    return Err(format!("after {} s these statuses are wrong: {wrong:?}", patience.as_secs()));
                }
                false => sleep(LIST_INTERVAL).await,
            }
        }
    }

    /// Repairs every cluster and stops flipping.
    pub fn rest(&mut self) {
        self.flips = None;
        for number in &self.watched.clusters {
            set(&self.watched, &self.ledger, *number, false);
        }
    }
}

async fn check(watched: Arc<Watched>, ledger: Arc<Mutex<Ledger>>) {
    let targets = api(&watched.client, &watched.namespace, "IntegrationTarget");
    let mut ticks = interval(LIST_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Served from the API server's cache, so several lists a second are cheap.
    let params = ListParams::default().match_any().labels(watched.selector);
    loop {
        ticks.tick().await;
        let Ok(Ok(list)) = timeout(LIST_TIMEOUT, targets.list(&params)).await else { continue };
        let mut ledger = lock(&ledger);
        for number in &watched.clusters {
            let name = (watched.name)(*number);
            let target = list.items.iter().find(|target| target.name_any() == name);
            let phase = target.and_then(|target| target.data["status"]["phase"].as_str());
            ledger.observe(*number, phase.unwrap_or_default(), Instant::now());
        }
    }
}

async fn flip(watched: Arc<Watched>, ledger: Arc<Mutex<Ledger>>) {
    let mut ticks = interval(FLIP_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let next = {
            let ledger = lock(&ledger);
            let free = ledger.right_for(REST, Instant::now());
            free.into_iter().choose(&mut rand::rng()).map(|number| (number, !ledger.is_broken(number)))
        };
        if let Some((number, broken)) = next {
            set(&watched, &ledger, number, broken);
        }
    }
}

fn set(watched: &Watched, ledger: &Mutex<Ledger>, number: u32, broken: bool) {
    let health = if broken { Health::Broken } else { Health::Healthy };
    if let Some(component) = vital(&watched.simulator, watched.tool) {
        lock(ledger).set(number, broken, Instant::now());
        watched.simulator.set(number, component, health);
    }
}

/// A Deployment that the tool needs.
fn vital(simulator: &Simulator, tool: &str) -> Option<ComponentId> {
    simulator.components().find(|part| part.tool == tool && part.kind == Kind::Deployment).map(|part| part.id)
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
