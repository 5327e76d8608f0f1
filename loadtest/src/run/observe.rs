//! What a run looks at while it goes on: the coordinator's metrics, the map, the statuses, the audit log.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::fleet::target_name;
use super::{Fleet, NAMESPACE, RunError};
use crate::audit::AuditEvent;
use crate::division::Division;
use crate::resources::api;

/// The interval of a cluster, and the coordinator's tick.
const FRESH: f64 = 32.0;

const PATIENCE: Duration = Duration::from_secs(60);
/// For a fleet to settle at the start and after each fault; a target more takes a little more.
const SETTLED: Duration = Duration::from_secs(120);
const SETTLED_EACH: Duration = Duration::from_millis(20);

const POLL: Duration = Duration::from_millis(50);

/// A replica's process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    pub pid: u32,
    pub log: PathBuf,
}

/// What the present coordinator says of the fleet.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub coordinator: u32,
    pub term: f64,
    pub epoch: f64,
    pub members: f64,
    pub orphaned: f64,
    pub unobserved: f64,
    pub oldest: f64,
    pub report_bytes: f64,
}

/// How the fleet came back after a change of its members.
#[derive(Clone, Copy, Debug)]
pub struct Recovery {
    /// From the change until every cluster was observed by a living owner, in seconds.
    pub took: f64,
    /// From the first sight of a newer map until no cluster was without an owner, in seconds.
    pub orphaned: f64,
    pub seen: Seen,
}

impl Fleet {
    /// Waits until all replicas take part and every cluster was observed by its owner.
    pub async fn settle(&mut self) -> Result<Seen, RunError> {
        let start = Instant::now();
        loop {
            self.replicas.check()?;
            if let Some(seen) = self.look().await
                && seen.members >= f64::from(self.count)
                && seen.orphaned == 0.0
                && seen.unobserved == 0.0
                && self.is_divided(&seen, self.count).await?
            {
                return Ok(seen);
            }
            let patience = SETTLED + SETTLED_EACH * self.targets;
            if start.elapsed() > patience {
                let (waited, seen) = (patience.as_secs(), self.look().await);
                return Err(format!("the fleet did not settle within {waited} s: {seen:?}").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until another process stands for a replica than in `former`.
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
        Err(format!("no new process stands for {name} after {} s", SETTLED.as_secs()).into())
    }

    /// Waits until `broken` clusters are Failed and all others Running, but for the untouched. The hub may be away at
    /// first.
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

    /// Waits until `members` replicas own the fleet, every cluster was observed by its owner in the present reign, and
    /// no observation is older than an interval. With `new_reign` in a term above that of `before`.
    pub async fn until_recovered(
        &self,
        start: Instant,
        before: &Seen,
        members: u32,
        new_reign: bool,
    ) -> Result<Recovery, RunError> {
        let (mut published, mut owned) = (None, None);
        loop {
            let seen = self.look().await;
            let now = start.elapsed().as_secs_f64();
            let has_left = |seen: &Seen| {
                seen.members == f64::from(members)
                    && (!new_reign || seen.term > before.term)
                    && seen.epoch > before.epoch
            };
            if let Some(seen) = seen.filter(has_left)
                && self.is_divided(&seen, members).await?
            {
                let published = *published.get_or_insert(now);
                if seen.orphaned == 0.0 {
                    owned.get_or_insert(now);
                }
                if let Some(owned) = owned
                    && seen.unobserved == 0.0
                    && seen.oldest <= FRESH
                {
                    return Ok(Recovery { took: now, orphaned: owned - published, seen });
                }
            }
            if start.elapsed() > PATIENCE {
                return Err(format!("{} s after the change: {seen:?}", PATIENCE.as_secs()).into());
            }
            sleep(POLL).await;
        }
    }

    /// Whether so many replicas share the fleet, by the very map that the coordinator's metrics speak of.
    async fn is_divided(&self, seen: &Seen, members: u32) -> Result<bool, RunError> {
        let division = self.division().await?;
        Ok(division.members.len() == members as usize && seen.epoch >= division.epoch as f64)
    }

    /// What the coordinator's metrics say; `None` while nobody leads.
    pub async fn look(&self) -> Option<Seen> {
        look_at(&self.seats()).await
    }

    /// The processes of the replicas.
    pub fn seats(&self) -> BTreeMap<u32, Seat> {
        let seat = |ordinal: u32| {
            let process = self.replicas.replica(ordinal)?;
            Some((ordinal, Seat { pid: process.pid(), log: process.log().to_owned() }))
        };
        (0..self.count).filter_map(seat).collect()
    }

    pub async fn division(&self) -> Result<Division, RunError> {
        Division::parse(&self.shard_map().await?).ok_or_else(|| "the ShardMap can't be read".into())
    }

    /// The `spec` of the ShardMap.
    pub async fn shard_map(&self) -> Result<Value, RunError> {
        Ok(api(&self.client, NAMESPACE, "ShardMap").get("ksit").await?.data["spec"].take())
    }

    /// Clusters in each slot, by their labels.
    pub async fn weights(&self) -> Result<BTreeMap<u16, u32>, RunError> {
        let mut weights = BTreeMap::new();
        for target in api(&self.client, NAMESPACE, "IntegrationTarget").list_metadata(&ListParams::default()).await? {
            let label = target.metadata.labels.unwrap_or_default().remove("ksit.io/slot").unwrap_or_default();
            *weights.entry(u16::from_str_radix(&label, 16)?).or_default() += 1;
        }
        Ok(weights)
    }

    /// Clusters by phase, but for the untouched.
    pub async fn phases(&self) -> Result<BTreeMap<String, u32>, RunError> {
        let mut phases = BTreeMap::new();
        let end = target_name(self.targets - self.untouched);
        let targets = api(&self.client, NAMESPACE, "IntegrationTarget").list(&ListParams::default()).await?;
        for target in targets.into_iter().filter(|target| self.untouched == 0 || target.name_any() < end) {
            let phase = target.data["status"]["phase"].as_str().unwrap_or("none").to_owned();
            *phases.entry(phase).or_default() += 1;
        }
        Ok(phases)
    }

    /// What replicas wrote since `mark` and were not refused, as `update shardmaps` or `update shardmaps status`.
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

    /// Writes of the map since `mark`, its status aside.
    pub fn map_writes(&self, mark: u64) -> Result<f64, RunError> {
        self.count_writes(mark, |name| ["create shardmaps", "update shardmaps"].contains(&name))
    }

    /// Writes of statuses since `mark`, that of the map aside.
    pub fn status_writes(&self, mark: u64) -> Result<f64, RunError> {
        self.count_writes(mark, |name| name.ends_with(" status") && !name.contains("shardmaps"))
    }

    fn count_writes(&self, mark: u64, is_meant: impl Fn(&str) -> bool) -> Result<f64, RunError> {
        Ok(self.writes_since(mark)?.iter().filter(|(name, _)| is_meant(name)).count() as f64)
    }
}

/// What the metrics of the coordinator among these say; `None` while nobody leads.
pub(super) async fn look_at(seats: &BTreeMap<u32, Seat>) -> Option<Seen> {
    for (ordinal, seat) in seats {
        let Some(metrics) = metrics(&seat.log).await else { continue };
        let get = |name: &str| metrics.get(name).copied().unwrap_or(f64::NAN);
        if get("ksit_coordinator_term") > 0.0 {
            return Some(Seen {
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

/// The metrics without labels.
async fn metrics(log: &Path) -> Option<BTreeMap<String, f64>> {
    let log = std::fs::read_to_string(log).ok()?;
    // A replica that was started again has a line for each start.
    let line = log.lines().rfind(|line| line.contains("serving /livez"))?;
    let address = line.split("address=").nth(1)?.split_whitespace().next()?.to_owned();
    let text = timeout(Duration::from_secs(1), fetch(&address)).await.ok()?.ok()?;
    let number = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Some(text.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect())
}

async fn fetch(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ksit\r\nConnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
