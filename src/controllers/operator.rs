//! One replica: its roles, started together and ended together.
//!
//! ```text
//! watch of Leases ──> election ──> coordinator (while this replica leads) ─ ShardMap, statuses ─> hub
//! watch of the map ─> worker ─ reports ─> reporter ─> coordinator, here or in another replica
//! own Lease, health endpoints
//! ```
//!
//! The first role to end ends the process; SIGTERM drains, a second one aborts.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt, stream};
use kube::Client;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep};

use super::coordinator::{CoordinatorConfig, CoordinatorContext, lead};
use super::descriptors::Descriptors;
use super::error::OperatorError;
use super::roles::Roles;
use super::worker::{
    self, CheckBy, ReporterContext, Reports, SECRET_READS, Shard, Shortage, WatchTargets, WorkerContext,
    WorkerSettings, follow_map,
};
use crate::domain::election::Identity;
use crate::domain::member::Timing;
use crate::domain::replica::Incarnation;
use crate::hub::{
    Change, Clock, Election, FirstChecks, LeaseBoard, MapStore, MemberLeases, PROMPT_TIMEOUT, PromptClient, Seat,
    StatefulSets, StatusQueue, StoredMap, merge, watch, watch_leases, watch_map, watch_secrets,
};
use crate::observability::{Health, Metrics, bind, serve};
use crate::reports::Incoming;
use crate::targets::kubeconfig::Policy;
use crate::targets::{ClusterManager, Limits, Settings};

/// Everything that a replica is told, checked.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// This process.
    pub me: Incarnation,
    /// Where the Leases and the map are.
    pub namespace: String,
    /// Name of the map, and first part of the name of the coordinator's Lease.
    pub installation: String,
    pub timing: Timing,
    pub report_bind_address: SocketAddr,
    pub report_host: Option<String>,
    pub report_token_file: Option<PathBuf>,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    /// Notice at once when a kubeconfig changes.
    pub watch_secrets: bool,
    pub round_deadline: Duration,
    pub failure_threshold: u32,
    pub check_by: CheckBy,
    /// Each target has series of its own among the metrics.
    pub target_metrics: bool,
    pub max_concurrent_reconciles: usize,
    pub max_concurrent_connects: usize,
    pub status_writes_per_second: u32,
    pub metrics_address: SocketAddr,
    /// What this process may open.
    pub descriptors: Descriptors,
    pub drain_deadline: Duration,
    pub policy: Policy,
}

/// Runs until the first of `signals`, then drains; a second one cuts that short.
pub async fn run(
    config: OperatorConfig,
    hub: HubClients,
    mut signals: impl Stream<Item = ()> + Unpin,
) -> Result<(), OperatorError> {
    let listener = bind(config.metrics_address).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, replica = %config.me.name, "serving /livez, /readyz and /metrics");
    }
    let replica = Replica::new(config, hub).await?;
    let mut roles = Roles::default();
    roles.start("the health endpoints", {
        let (health, metrics) = (replica.health.clone(), replica.metrics.clone());
        let connections = replica.config.descriptors.for_probes();
        async move { Err(serve(listener, health, metrics, connections).await.into()) }
    });
    replica.start(&mut roles);
    tokio::select! {
        error = roles.first_end() => {
            roles.end().await;
            return Err(error);
        }
        _ = signals.next() => {}
    }
    tokio::select! {
        () = replica.drain(&mut roles) => {}
        _ = signals.next() => tracing::warn!(left = replica.statuses.pending(), "asked twice: ending without the rest"),
    }
    Ok(())
}

/// Clients of the hub.
pub struct HubClients {
    pub hub: Client,
    /// For Leases and the shard map.
    pub prompt: PromptClient,
}

/// One replica, and what its roles share.
struct Replica {
    config: OperatorConfig,
    hub: Client,
    health: Arc<Health>,
    metrics: Metrics,
    statuses: Arc<StatusQueue>,
    board: Arc<LeaseBoard>,
    leases: MemberLeases,
    store: MapStore,
    stateful_set: StatefulSets,
    seat: Arc<Seat>,
    election: Arc<Election>,
}

impl Replica {
    async fn new(config: OperatorConfig, clients: HubClients) -> Result<Self, OperatorError> {
        let HubClients { hub, prompt } = clients;
        let OperatorConfig { me, installation, namespace, timing, .. } = &config;
        let metrics = Metrics::new()?;
        let identity = Identity::new(me.name.as_str(), &me.pod_uid, &me.nonce)?;
        let name = me.name.ordinal().and_then(|_| Some(me.name.as_str().rsplit_once('-')?.0.to_owned()));
        let stateful_set = StatefulSets { hub: prompt.clone(), namespace: namespace.clone(), name };
        let owner = stateful_set.owner().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the StatefulSet can't be read; Leases and the map will not go with it");
            None
        });
        let board = Arc::new(LeaseBoard::new(Clock::start(), timing.renew + PROMPT_TIMEOUT));
        let election = Election {
            hub: prompt.clone(),
            board: board.clone(),
            namespace: namespace.clone(),
            lease_name: format!("{installation}-coordinator"),
            identity,
            ttl: timing.lease,
            renew: timing.renew,
            owner: owner.clone(),
            renew_seconds: metrics.lease_renew_seconds.with_label_values(&["coordinator"]),
        };
        let leases = MemberLeases {
            hub: prompt.clone(),
            namespace: namespace.clone(),
            installation: installation.clone(),
            me: me.clone(),
            duration: timing.lease,
            renew: timing.renew,
            owner: owner.clone(),
            first_checks: Arc::new(FirstChecks::new(me.name.clone(), board.clone())),
            renew_seconds: metrics.lease_renew_seconds.with_label_values(&["member"]),
        };
        let store = MapStore { hub: prompt, namespace: namespace.clone(), name: installation.clone(), owner };
        Ok(Self {
            hub,
            health: Arc::default(),
            metrics,
            statuses: Arc::default(),
            board,
            leases,
            store,
            stateful_set,
            seat: Arc::default(),
            election: Arc::new(election),
            config,
        })
    }

    fn start(&self, roles: &mut Roles) {
        let (map, map_seen) = watch::channel(None);
        let (shard, shard_seen) = watch::channel(Shard::default());
        let (door, door_seen) = watch::channel(None);
        let reports: Arc<Reports> = Arc::default();
        let (hub, namespace, board) = (self.hub.clone(), self.config.namespace.clone(), self.board.clone());
        roles.start("the watch of Leases", async move {
            watch_leases(hub, &namespace, &board).await;
            Ok(())
        });
        let stored = watch_map(self.hub.clone(), &self.store);
        roles.start("the watch of the ShardMap", follow_map(stored, self.config.me.clone(), map, shard).map(Ok));
        let (leases, board) = (self.leases.clone(), self.board.clone());
        roles.start("the member's Lease", async move { Err(leases.keep(&board).await.into()) });
        let (election, seat) = (self.election.clone(), self.seat.clone());
        roles.start("the election", async move { Err(election.run(&seat).await.into()) });
        let coordinator = self.coordinator(map_seen.clone(), door);
        roles.start("the coordinator", async move { Err(lead(coordinator).await.into()) });
        let integrations = watch_all(&self.hub, &self.config.namespaces, None);
        let (hub, namespaces) = (self.hub.clone(), self.config.namespaces.clone());
        let targets: WatchTargets = Box::new(move |selector| watch_all(&hub, &namespaces, selector));
        let secrets = match self.config.watch_secrets {
            true => over(&self.config.namespaces, |namespace| watch_secrets(self.hub.clone(), namespace).boxed()),
            false => stream::pending().boxed(),
        };
        let worker = self.worker(reports.clone());
        roles.start("the worker", worker::run(worker, shard_seen.clone(), targets, integrations, secrets).map(Ok));
        let reporter = ReporterContext {
            me: self.config.me.clone(),
            reports,
            shard: shard_seen,
            map: map_seen,
            door: door_seen,
            token_file: self.config.report_token_file.clone(),
            round: self.config.timing.round,
            metrics: self.metrics.clone(),
        };
        roles.start("the reporter", worker::report(reporter).map(Ok));
    }

    fn worker(&self, reports: Arc<Reports>) -> Arc<WorkerContext> {
        let limits = Limits::new(Settings {
            round_timeout: self.config.round_deadline,
            connects: self.config.max_concurrent_connects,
            rounds: self.config.max_concurrent_reconciles,
            connections: self.config.descriptors.for_targets(),
            ..Settings::default()
        });
        Arc::new(WorkerContext {
            hub: self.hub.clone(),
            clusters: ClusterManager::new(Arc::new(limits)),
            policy: self.config.policy.clone(),
            secret_reads: Semaphore::new(SECRET_READS),
            first_checks: self.leases.first_checks.clone(),
            reports,
            health: self.health.clone(),
            metrics: self.metrics.clone(),
            shortage: Shortage::default(),
            settings: WorkerSettings {
                replica: self.config.me.name.clone(),
                interval: self.config.timing.round,
                failure_threshold: self.config.failure_threshold,
                check_by: self.config.check_by,
                target_metrics: self.config.target_metrics,
            },
        })
    }

    fn coordinator(
        &self,
        map: watch::Receiver<Option<StoredMap>>,
        door: watch::Sender<Option<mpsc::Sender<Incoming>>>,
    ) -> CoordinatorContext {
        let (hub, namespaces) = (self.hub.clone(), self.config.namespaces.clone());
        let (same_hub, same_namespaces) = (hub.clone(), namespaces.clone());
        CoordinatorContext {
            me: self.config.me.clone(),
            config: CoordinatorConfig {
                installation: self.config.installation.clone(),
                timing: self.config.timing,
                status_writes_per_second: self.config.status_writes_per_second,
                report_bind_address: self.config.report_bind_address,
                report_host: self.config.report_host.clone(),
                report_token_file: self.config.report_token_file.clone(),
            },
            hub: self.hub.clone(),
            seat: self.seat.clone(),
            board: self.board.clone(),
            leases: self.leases.clone(),
            store: self.store.clone(),
            stateful_set: self.stateful_set.clone(),
            map,
            door,
            statuses: self.statuses.clone(),
            metrics: self.metrics.clone(),
            watch_targets: Box::new(move || watch_all(&hub, &namespaces, None)),
            watch_integrations: Box::new(move || watch_all(&same_hub, &same_namespaces, None)),
        }
    }

    /// Writes what waits, as long as there is time (what is lost now is written after the next start), then gives both
    /// Leases back, so that nobody has to wait for them to run out.
    async fn drain(&self, roles: &mut Roles) {
        let end = Instant::now() + self.config.drain_deadline;
        tracing::info!(waiting = self.statuses.pending(), "draining");
        while self.statuses.pending() > 0 && Instant::now() < end {
            sleep(Duration::from_millis(20)).await;
        }
        let left = self.statuses.pending();
        roles.end().await;
        for released in [self.election.release().await, self.leases.release().await] {
            if let Err(error) = released {
                tracing::warn!(%error, "a Lease can't be given back; it runs out by itself");
            }
        }
        tracing::info!(left, "drained");
    }
}

/// All objects of a kind, or those with labels as `selector` wants them, in the namespaces that are watched.
fn watch_all<K>(hub: &Client, namespaces: &[String], selector: Option<&str>) -> BoxStream<'static, Change<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    over(namespaces, |namespace| watch(hub.clone(), namespace, selector).boxed())
}

/// One stream over all namespaces, or over each of those that are watched.
fn over<K: kube::ResourceExt + Send + 'static>(
    namespaces: &[String],
    watch: impl Fn(Option<&str>) -> BoxStream<'static, Change<K>>,
) -> BoxStream<'static, Change<K>> {
    match namespaces {
        [] => watch(None),
        [one] => watch(Some(one)),
        several => merge(several.iter().map(|namespace| watch(Some(namespace))).collect()),
    }
}
