//! Hostile clusters, users and peers, and a faulty hub: none of them silences, stops or starves the rest.
//!
//! The prefix of a test names the finding that it guards (`a5_…`). During each test the truth checker flips untouched
//! clusters, and measures how long their statuses are wrong.

mod a05_failing_writes;
mod a06_restored_hub;
mod a07_descriptors;
mod a08_many_namespaces;
mod a09_age;
mod a10_escape;
mod a11_intruder;
mod a12_silent;
mod a13_largest;
mod a14_slow_hub;
mod a17_silent_watch;
mod behind_faulty_hub;
mod clusters;
mod largest;
mod lost_label;
mod objects;
mod own_hub;
mod simulated_faults;
mod starved_leases;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ksit::api::{ShardMap, convert};
use kube::api::{Api, Patch, PatchParams};
use loadtest::truth::{Findings, TruthChecker, Watched};
use serde_json::json;
use simulator::Simulator;
use testkit::Process;
use testkit::installation::Installation;
use testkit::usage::Usage;

use crate::kit::{World, eventually, hub};

/// Replicas of a fleet.
const REPLICAS: u32 = 3;

const INTERVAL: Duration = Duration::from_secs(2);

const FLAGS: [&str; 4] = ["--interval=2s", "--round-timeout=2s", "--lease-duration=8s", "--lease-renew-interval=1s"];

/// Longest time that the status of an untouched cluster may be wrong.
const MAX_WRONG: Duration = Duration::from_secs(5);

/// Time-out for a fleet to start, or a status to be right; the machine is busy.
const TIMEOUT: Duration = Duration::from_secs(90);

/// Label of the fleet's own targets; a test may add others.
const FLEET_LABEL: &str = "hostile-fleet";

/// Growth of a replica's memory that a fault may cause, in MiB.
const MEMORY: u64 = 16;

/// A namespace on the shared hub, simulated clusters with Argo CD, and replicas with the rights of the chart.
pub struct HostileFleet {
    pub world: World,
    pub simulator: Arc<Simulator>,
    pub replicas: Installation,
}

impl HostileFleet {
    /// Starts all replicas, and returns once they are members of the map.
    pub async fn start(namespace: &str, clusters: u32) -> Self {
        let world = World::new(namespace).await;
        let simulator = Arc::new(Simulator::start(clusters).await.unwrap());
        for number in 0..clusters {
            world.target(&name(number), &simulator.kubeconfig(number)).await;
            let labels = json!({ "metadata": { "labels": { FLEET_LABEL: "" } } });
            let targets = world.api("IntegrationTarget");
            targets.patch(&name(number), &PatchParams::default(), &Patch::Merge(labels)).await.unwrap();
        }
        world.integration("argocd", json!({ "type": "argocd", "targetSelector": {} })).await;
        let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
        let mut replicas = Installation::new(hub().await, ksit, namespace, &FLAGS).await.unwrap();
        replicas.want(REPLICAS).await.unwrap();
        for ordinal in 0..REPLICAS {
            replicas.start(ordinal).await.unwrap();
        }
        let fleet = Self { world, simulator, replicas };
        eventually("all replicas to join", async || (fleet.members().await == REPLICAS as usize).then_some(())).await;
        fleet
    }

    /// Starts to flip these clusters; returns once their statuses are right.
    pub async fn check_truth(&self, clusters: impl IntoIterator<Item = u32>) -> TruthChecker {
        let truth = TruthChecker::start(Watched {
            client: self.world.client.clone(),
            namespace: self.world.namespace.clone(),
            simulator: self.simulator.clone(),
            selector: FLEET_LABEL,
            clusters: clusters.into_iter().collect(),
            name,
            tool: "argocd",
        });
        truth.until_right(TIMEOUT).await.unwrap();
        truth
    }

    /// Asserts that for `time` the fleet withstands a fault injected just before: statuses of other clusters stay true,
    /// no replica exits, and none grows by more than [`MEMORY`].
    pub async fn assert_endures(&mut self, fault: &str, truth: &TruthChecker, time: Duration) -> Findings {
        self.assert_endures_within((MAX_WRONG, MEMORY), fault, truth, time).await
    }

    /// The same with other bounds: how long a status may be wrong, and growth of memory in MiB.
    pub async fn assert_endures_within(
        &mut self,
        (wrong, more): (Duration, u64),
        fault: &str,
        truth: &TruthChecker,
        time: Duration,
    ) -> Findings {
        let (memory, term) = (self.memory(), self.term().await);
        let findings = truth.during(time).await;
        let took = self.memory();
        println!(
            "{fault}: wrong at most {:.1} s, falsely Running {:.1} s, p50 {:.2} s; memory {memory:?} -> {took:?} MiB",
            findings.wrong.lasted.as_secs_f64(),
            findings.falsely_running.lasted.as_secs_f64(),
            findings.quantile(0.5),
        );
        self.replicas.check().unwrap();
        let logs = || (0..REPLICAS).map(|ordinal| self.replicas.log(ordinal)).collect::<String>();
        assert!(findings.wrong.lasted <= wrong, "{fault}: {findings:?}, wrong now: {:?}\n{}", truth.wrong(), logs());
        assert!(findings.falsely_running.lasted <= INTERVAL * 3, "{fault}: {findings:?}");
        assert!(findings.took.len() >= 10, "{fault}: too few changes seen: {findings:?}");
        for (ordinal, before) in memory {
            let now = took[&ordinal];
            assert!(now <= before + more, "{fault}: ksit-{ordinal} grew from {before} MiB to {now} MiB");
        }
        assert_eq!(self.term().await, term, "{fault}: the coordinator stays");
        findings
    }

    /// Resident memory of each replica in MiB.
    pub fn memory(&self) -> BTreeMap<u32, u64> {
        let resident = |ordinal| Usage::of(self.replicas.replica(ordinal)?.pid()).ok().map(|usage| usage.rss / 1024);
        (0..REPLICAS).filter_map(|ordinal| Some((ordinal, resident(ordinal)?))).collect()
    }

    pub async fn term(&self) -> i64 {
        self.map().await.map_or(0, |map| map.spec.term)
    }

    /// The replica that coordinates.
    pub async fn coordinator(&self) -> u32 {
        convert::shard_map(&self.map().await.unwrap()).coordinator.name.ordinal().unwrap()
    }

    async fn members(&self) -> usize {
        self.map().await.map_or(0, |map| map.spec.members.len())
    }

    async fn map(&self) -> Option<ShardMap> {
        let maps: Api<ShardMap> = Api::namespaced(self.world.client.clone(), &self.world.namespace);
        maps.get_opt("ksit").await.unwrap()
    }
}

/// Name of a cluster's target, and its `clusterName`.
fn name(number: u32) -> String {
    format!("c{number}")
}

/// Resident memory of a process, in bytes.
fn resident(process: &Process) -> u64 {
    Usage::of(process.pid()).unwrap().rss * 1024
}
