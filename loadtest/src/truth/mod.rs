//! The truth checker: breaks and mends simulated clusters without end, and times how long their statuses are wrong.
//!
//! ```text
//! flips ──> simulator          hub <── lists, several a second
//!   └──────────> Ledger <───────┘
//!                  └─> Findings: the longest time that a status was wrong, and Running and wrong
//! ```
//!
//! The audit-log checker proves that nothing wrong is written. This one proves that what stands on the hub is true and
//! fresh, which a fault that silences ksit breaks without a single write. A cluster is flipped again only once its
//! status is right, so a status that stays behind is wrong until the end.

mod ledger;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kube::api::ListParams;
use kube::{Client, ResourceExt};
use rand::seq::IteratorRandom;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

pub use ledger::{Findings, Worst};

use crate::resources::api;
use crate::simulator::{ComponentId, Health, Kind, Simulator};
use ledger::Ledger;

/// Between two looks at the hub; also how exact the findings are.
const LOOK: Duration = Duration::from_millis(100);

/// A cluster stays as it is for so long after its status was right.
const REST: Duration = Duration::from_millis(500);

/// Between two flips of the fleet.
const FLIP: Duration = Duration::from_millis(200);

/// A status that has been wrong for no longer may be of a flip that is just under way.
const FRESH: Duration = Duration::from_secs(2);

/// A hub that is away answers nothing for longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The clusters that are flipped, and the targets that stand for them.
pub struct Watched {
    pub client: Client,
    pub namespace: String,
    pub simulator: Arc<Simulator>,
    /// Labels of the targets that are looked at; empty: all of the namespace.
    pub selector: &'static str,
    /// Clusters that no fault touches, in ascending order.
    pub clusters: BTreeSet<u32>,
    /// The name of the target of a cluster.
    pub name: fn(u32) -> String,
    /// A tool of which one Deployment is broken.
    pub tool: &'static str,
}

/// Flips and looks until it is dropped.
pub struct TruthChecker {
    ledger: Arc<Mutex<Ledger>>,
    watched: Arc<Watched>,
    /// None: at rest.
    flips: Option<JoinSet<()>>,
    _looks: JoinSet<()>,
}

impl TruthChecker {
    pub fn start(watched: Watched) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(watched.clusters.iter().copied(), Instant::now())));
        let watched = Arc::new(watched);
        let (mut looks, mut flips) = (JoinSet::new(), JoinSet::new());
        looks.spawn(look(watched.clone(), ledger.clone()));
        flips.spawn(flip(watched.clone(), ledger.clone()));
        Self { ledger, watched, flips: Some(flips), _looks: looks }
    }

    /// Flips for so long with nothing counted before it: the findings of that time.
    pub async fn during(&self, time: Duration) -> Findings {
        self.forget();
        sleep(time).await;
        self.findings()
    }

    /// Counts nothing of what was until now.
    pub fn forget(&self) {
        lock(&self.ledger).forget(Instant::now());
    }

    pub fn findings(&self) -> Findings {
        lock(&self.ledger).findings(Instant::now())
    }

    /// Clusters whose status has been wrong for longer than a flip takes, with the phase that it names.
    pub fn wrong(&self) -> Vec<(u32, String)> {
        lock(&self.ledger).wrong_for(FRESH, Instant::now())
    }

    /// Waits until there is none. Err names those that there are.
    pub async fn until_right(&self, patience: Duration) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let wrong = self.wrong();
            match wrong.is_empty() {
                true => return Ok(()),
                false if start.elapsed() > patience => {
                    return Err(format!("after {} s these statuses are wrong: {wrong:?}", patience.as_secs()));
                }
                false => sleep(LOOK).await,
            }
        }
    }

    /// Mends every cluster and flips no more.
    pub fn rest(&mut self) {
        self.flips = None;
        for number in &self.watched.clusters {
            set(&self.watched, &self.ledger, *number, false);
        }
    }
}

async fn look(watched: Arc<Watched>, ledger: Arc<Mutex<Ledger>>) {
    let targets = api(&watched.client, &watched.namespace, "IntegrationTarget");
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // From the API server's memory: several a second cost it little.
    let params = ListParams::default().match_any().labels(watched.selector);
    loop {
        ticks.tick().await;
        let Ok(Ok(list)) = timeout(PATIENCE, targets.list(&params)).await else { continue };
        let mut ledger = lock(&ledger);
        for number in &watched.clusters {
            let name = (watched.name)(*number);
            let target = list.items.iter().find(|target| target.name_any() == name);
            let phase = target.and_then(|target| target.data["status"]["phase"].as_str());
            ledger.see(*number, phase.unwrap_or_default(), Instant::now());
        }
    }
}

async fn flip(watched: Arc<Watched>, ledger: Arc<Mutex<Ledger>>) {
    let mut ticks = interval(FLIP);
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

/// A Deployment without which the tool fails.
fn vital(simulator: &Simulator, tool: &str) -> Option<ComponentId> {
    simulator.components().find(|part| part.tool == tool && part.kind == Kind::Deployment).map(|part| part.id)
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
