//! Observes a running fleet through the coordinator's metrics, the map, the statuses and the audit log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;
use testkit::audit::AuditEvent;
use testkit::division::Division;
use testkit::resources::api;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::fleet::target_name;
use super::{Fleet, NAMESPACE, RunError};

/// A cluster's interval plus the coordinator's tick, in seconds.
const FRESH: f64 = 32.0;

const PATIENCE: Duration = Duration::from_secs(60);
/// Time limit for a fleet to settle at the start and after each fault, plus an allowance per target.
const SETTLED: Duration = Duration::from_secs(120);
const SETTLED_EACH: Duration = Duration::from_millis(20);

const POLL: Duration = Duration::from_millis(50);

/// A replica's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaProcess {
    pub pid: u32,
    pub log: PathBuf,
}

/// The current coordinator's metrics of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct CoordinatorMetrics {
    pub coordinator: u32,
    pub term: f64,
    pub epoch: f64,
    pub members: f64,
    pub orphaned: f64,
    pub unobserved: f64,
    pub oldest: f64,
    pub report_bytes: f64,
}

/// Recovery of the fleet after a membership change.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// Seconds from the change until every cluster was observed by a living owner.
    pub took: f64,
    /// Seconds from the newer map until no cluster was without an owner.
    pub orphaned: f64,
    pub metrics: CoordinatorMetrics,
}

impl Fleet {
    /// Waits until all replicas are members and every cluster was observed by its owner.
    ///
    /// # Errors
    /// Fails if a replica ended, the map can't be read, or the fleet takes longer than two minutes plus 20 ms per
    /// target.
    pub async fn settle(&mut self) -> Result<CoordinatorMetrics, RunError> {
        let start = Instant::now();
        loop {
            self.replicas.check()?;
            if let Some(metrics) = self.coordinator_metrics().await
                && metrics.members >= f64::from(self.count)
                && metrics.orphaned == 0.0
                && metrics.unobserved == 0.0
                && self.is_divided(&metrics, self.count).await?
            {
                return Ok(metrics);
            }
            let patience = SETTLED + SETTLED_EACH * self.targets;
            if start.elapsed() > patience {
                let (waited, metrics) = (patience.as_secs(), self.coordinator_metrics().await);
                return Err(format!("the fleet did not settle within {waited} s: {metrics:?}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the map has another process for a replica than `former`.
    ///
    /// # Errors
    /// Fails if the map can't be read or has no new process after two minutes.
    pub async fn until_replaced(&self, former: &Division, ordinal: u32) -> Result<(), RunError> {
        let name = format!("ksit-{ordinal}");
        let process = |division: &Division| division.members.get(&name).map(|(process, _)| process.clone());
        let start = Instant::now();
        while start.elapsed() < SETTLED {
            if process(&self.division().await?).is_some_and(|now| Some(now) != process(former)) {
                return Ok(());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Err(format!("the map has no new process of {name} after {} s", SETTLED.as_secs()).into())
    }

    /// Waits until `broken` clusters are Failed and all others Running, not counting the untouched ones. The hub may be
    /// unreachable at first.
    ///
    /// # Errors
    /// Returns the phases, or why they can't be listed, after `patience`.
    pub async fn until_phases(&self, broken: u32, patience: Duration) -> Result<(), RunError> {
        let start = Instant::now();
        loop {
            let phases = self.phases().await;
            let count = |phase: &str| phases.as_ref().ok().and_then(|phases| phases.get(phase)).copied().unwrap_or(0);
            if (count("Failed"), count("Running")) == (broken, self.targets - self.untouched - broken) {
                return Ok(());
            }
            if start.elapsed() > patience {
                return Err(format!("after {} s the phases are {phases:?}", patience.as_secs()).into());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    /// Waits until `members` replicas own the fleet, every cluster was observed by its owner in the current term, and
    /// no observation is older than an interval. With `new_term`, the term must also be above that of `before`.
    pub(crate) async fn until_recovered(
        &self,
        start: Instant,
        before: &CoordinatorMetrics,
        members: u32,
        new_term: bool,
    ) -> Result<Recovery, RunError> {
        let (mut published, mut owned) = (None, None);
        loop {
            let metrics = self.coordinator_metrics().await;
            let now = start.elapsed().as_secs_f64();
            let has_changed = |metrics: &CoordinatorMetrics| {
                metrics.members == f64::from(members)
                    && (!new_term || metrics.term > before.term)
                    && metrics.epoch > before.epoch
            };
            if let Some(metrics) = metrics.filter(has_changed)
                && self.is_divided(&metrics, members).await?
            {
                let published = *published.get_or_insert(now);
                if metrics.orphaned == 0.0 {
                    owned.get_or_insert(now);
                }
                if let Some(owned) = owned
                    && metrics.unobserved == 0.0
                    && metrics.oldest <= FRESH
                {
                    return Ok(Recovery { took: now, orphaned: owned - published, metrics });
                }
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("not recovered {} s after the change: {metrics:?}", PATIENCE.as_secs()).into());
            }
            sleep(POLL).await;
        }
    }

    /// Whether `members` replicas share the fleet in the map, and the coordinator's metrics are not older than it.
    async fn is_divided(&self, metrics: &CoordinatorMetrics, members: u32) -> Result<bool, RunError> {
        let division = self.division().await?;
        Ok(division.members.len() == members as usize && metrics.epoch >= division.epoch as f64)
    }

    /// The coordinator's metrics; `None` while there is no coordinator.
    pub(crate) async fn coordinator_metrics(&self) -> Option<CoordinatorMetrics> {
        coordinator_metrics(&self.processes()).await
    }

    /// The replicas' processes by ordinal.
    pub fn processes(&self) -> BTreeMap<u32, ReplicaProcess> {
        let process = |ordinal: u32| {
            let process = self.replicas.replica(ordinal)?;
            Some((ordinal, ReplicaProcess { pid: process.pid(), log: process.log().to_owned() }))
        };
        (0..self.count).filter_map(process).collect()
    }

    /// The owners of all slots, from the ShardMap.
    ///
    /// # Errors
    /// Fails if the ShardMap can't be read or is invalid.
    pub async fn division(&self) -> Result<Division, RunError> {
        Division::parse(&self.shard_map().await?).ok_or_else(|| "the ShardMap is invalid".into())
    }

    /// The `spec` of the ShardMap.
    pub(crate) async fn shard_map(&self) -> Result<Value, RunError> {
        Ok(api(&self.client, NAMESPACE, "ShardMap").get("ksit").await?.data["spec"].take())
    }

    /// Number of clusters in each slot, by their labels.
    pub(crate) async fn weights(&self) -> Result<BTreeMap<u16, u32>, RunError> {
        let mut weights = BTreeMap::new();
        for target in api(&self.client, NAMESPACE, "IntegrationTarget").list_metadata(&ListParams::default()).await? {
            let label = target.metadata.labels.unwrap_or_default().remove("ksit.io/slot").unwrap_or_default();
            *weights.entry(u16::from_str_radix(&label, 16)?).or_default() += 1;
        }
        Ok(weights)
    }

    /// Number of clusters by phase, not counting the untouched ones.
    pub(crate) async fn phases(&self) -> Result<BTreeMap<String, u32>, RunError> {
        let mut phases = BTreeMap::new();
        let end = target_name(self.targets - self.untouched);
        let targets = api(&self.client, NAMESPACE, "IntegrationTarget").list(&ListParams::default()).await?;
        for target in targets.into_iter().filter(|target| self.untouched == 0 || target.name_any() < end) {
            let phase = target.data["status"]["phase"].as_str().unwrap_or("none").to_owned();
            *phases.entry(phase).or_default() += 1;
        }
        Ok(phases)
    }

    /// Successful writes of replicas since `mark`, named like `update shardmaps` or `update shardmaps status`.
    ///
    /// # Errors
    /// Fails if the audit log can't be read.
    pub fn writes_since(&self, mark: u64) -> Result<Vec<(String, AuditEvent)>, RunError> {
        let by_replica = |event: &AuditEvent| {
            event.user.username.starts_with("system:serviceaccount:")
                && !["get", "list", "watch"].contains(&event.verb.as_str())
                && event.code() < 400
        };
        let name = |event: &AuditEvent| {
            let object = event.object_ref.clone().unwrap_or_default();
            format!("{} {} {}", event.verb, object.resource, object.subresource).trim().to_owned()
        };
        let events = self.hub.audit().since(mark)?.into_iter().filter(by_replica);
        Ok(events.map(|event| (name(&event), event)).collect())
    }

    /// Writes of the map since `mark`, except its status.
    pub(crate) fn map_writes(&self, mark: u64) -> Result<f64, RunError> {
        self.count_writes(mark, |name| ["create shardmaps", "update shardmaps"].contains(&name))
    }

    /// Status writes since `mark`, except the map's.
    pub(crate) fn status_writes(&self, mark: u64) -> Result<f64, RunError> {
        self.count_writes(mark, |name| name.ends_with(" status") && !name.contains("shardmaps"))
    }

    fn count_writes(&self, mark: u64, counts: impl Fn(&str) -> bool) -> Result<f64, RunError> {
        Ok(self.writes_since(mark)?.iter().filter(|(name, _)| counts(name)).count() as f64)
    }
}

/// The metrics of the coordinator among these processes; `None` while there is none.
pub(super) async fn coordinator_metrics(processes: &BTreeMap<u32, ReplicaProcess>) -> Option<CoordinatorMetrics> {
    for (ordinal, process) in processes {
        let Some(metrics) = metrics(&process.log).await else { continue };
        let get = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
        if get("ksit_coordinator_term") > 0.0 {
            return Some(CoordinatorMetrics {
                coordinator: *ordinal,
                term: get("ksit_coordinator_term"),
                epoch: get("ksit_shard_map_epoch"),
                members: get("ksit_members"),
                orphaned: get("ksit_targets_orphaned"),
                unobserved: get("ksit_targets_unobserved"),
                oldest: get("ksit_oldest_observation_seconds"),
                report_bytes: get("ksit_report_bytes_total"),
            });
        }
    }
    None
}

/// The metrics without labels, from the address in the replica's log.
async fn metrics(log: &Path) -> Option<BTreeMap<String, f64>> {
    let text = metrics_text(log).await?;
    let number = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect())
}

/// All metrics, as the replica writes them.
pub(super) async fn metrics_text(log: &Path) -> Option<String> {
    let log = std::fs::read_to_string(log).ok()?;
    // A restarted replica has one line per start.
    let line = log.lines().rfind(|line| line.contains("serving /livez"))?;
    let address = line.split("address=").nth(1)?.split_whitespace().next()?.to_owned();
    timeout(Duration::from_secs(1), fetch(&address)).await.ok()?.ok()
}

async fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ksit\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
