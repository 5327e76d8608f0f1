//! Runs one replica: starts its roles together and stops them together.
//!
//! ```text
//! Lease thread: own Lease, Lease watch ─> election ─┐
//!                                                   └─> coordinator (while this replica leads) ─> hub
//! ShardMap watch ─> worker ─ reports ─> reporter ─> coordinator, here or in another replica
//! health endpoints
//! ```
//!
//! The first role to end ends the process; SIGTERM drains, a second one aborts.

use std::collections::BTreeSet;
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
use super::lease_thread::on_own_thread;
use super::memory;
use super::roles::Roles;
use super::typed::{SeenTypes, follow_types};
use super::watched::Watched;
use super::worker::{
    self, CheckBy, ReporterContext, Reports, SECRET_READS, Shard, Shortage, TokenMaker, Tokens, WatchTargets,
    WorkerContext, WorkerSettings, follow_map,
};
use crate::api::ClusterProfile;
use crate::domain::election::Identity;
use crate::domain::member::Timing;
use crate::domain::replica::Incarnation;
use crate::hub::{
    Change, Clock, Election, FirstChecks, HubAccess, Leadership, LeaseBoard, MapStore, MemberLeases, PROMPT_TIMEOUT,
    StatefulSets, StatusQueue, StoredMap, hub_addresses, watch_leases, watch_map, watch_secrets,
};
use crate::observability::{FleetMetrics, Health, Metrics, TargetMetrics, bind, serve};
use crate::reports::Incoming;
use crate::targets::kubeconfig::Policy;
use crate::targets::{ClusterManager, Limits, Outbound, Settings};

/// Interval between look-ups of the hub's addresses.
const LOOKUP_INTERVAL: Duration = Duration::from_secs(60);

/// The validated configuration of a replica.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    /// This process.
    pub me: Incarnation,
    /// Namespace of the Leases and the ShardMap.
    pub namespace: String,
    /// Name of the ShardMap, and prefix of the coordinator's Lease name.
    pub installation: String,
    /// Durations of Leases and rounds.
    pub timing: Timing,
    /// Address of the report service while this replica leads.
    pub report_bind_address: SocketAddr,
    /// Host under which other replicas reach it; `None`: the address itself.
    pub report_host: Option<String>,
    /// File with this Pod's token for [`AUDIENCE`](crate::reports::AUDIENCE); `None` for a replica that runs alone.
    pub report_token_file: Option<PathBuf>,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    /// Watch Secrets, to notice a changed kubeconfig at once.
    pub watch_secrets: bool,
    /// Limit of one round of a target, without its waits for permits.
    pub round_deadline: Duration,
    /// Rounds in a row with a transient failure before a target is Unreachable.
    pub failure_threshold: u32,
    /// Whether targets are watched.
    pub check_by: CheckBy,
    /// Namespaces whose targets may use `spec.access`.
    pub access_namespaces: BTreeSet<String>,
    /// Lifetime of the tokens for `spec.access.oidc`.
    pub oidc_token_lifetime: Duration,
    /// Renew the tokens in Secrets that ask for it.
    pub renew_tokens: bool,
    /// Follow ClusterProfiles in `access_namespaces`.
    pub cluster_profiles: bool,
    /// Whether each target has its own metric series.
    pub target_metrics: TargetMetrics,
    /// Concurrent rounds of this replica.
    pub max_concurrent_reconciles: usize,
    /// Concurrent connection attempts of this replica to targets.
    pub max_concurrent_connects: usize,
    /// Highest rate while this replica leads; bursts of eight are allowed.
    pub status_writes_per_second: u32,
    /// Address of `/livez`, `/readyz` and `/metrics`.
    pub metrics_address: SocketAddr,
    /// The file descriptor limit of this process.
    pub descriptors: Descriptors,
    /// Limit for writing the queued statuses after the first signal.
    pub drain_deadline: Duration,
    /// Addresses that targets may have.
    pub policy: Policy,
}

/// Runs until the first of `signals`, then drains; the second one aborts the drain.
///
/// # Errors
/// Returns the error of the first role that ended before a signal. A drain is no error, even an aborted one.
pub async fn run(
    config: OperatorConfig,
    hub: HubAccess,
    mut signals: impl Stream<Item = ()> + Unpin,
) -> Result<(), OperatorError> {
    let listener = bind(config.metrics_address).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, replica = %config.me.name, "serving /livez, /readyz and /metrics");
    }
    let replica = Replica::new(config, hub).await?;
    let mut roles = Roles::default();
    roles.start("the health endpoints", {
        let health = replica.health.clone();
        let metrics = (replica.metrics.clone(), replica.fleet_metrics.clone());
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
        _ = signals.next() => tracing::warn!(left = replica.statuses.pending(), "second signal: exiting without draining"),
    }
    Ok(())
}

/// One replica and the state that its roles share.
struct Replica {
    config: OperatorConfig,
    access: HubAccess,
    hub: Client,
    health: Arc<Health>,
    metrics: Metrics,
    fleet_metrics: Arc<FleetMetrics>,
    statuses: Arc<StatusQueue>,
    board: Arc<LeaseBoard>,
    leases: MemberLeases,
    store: MapStore,
    stateful_set: StatefulSets,
    leadership: Arc<Leadership>,
    election: Election,
}

impl Replica {
    async fn new(config: OperatorConfig, access: HubAccess) -> Result<Self, OperatorError> {
        let (hub, prompt) = (access.client()?, access.prompt(PROMPT_TIMEOUT)?);
        let OperatorConfig { me, installation, namespace, timing, .. } = &config;
        let metrics = Metrics::new()?;
        let identity = Identity::new(me.name.as_str(), &me.pod_uid, &me.nonce)?;
        let name = me.name.ordinal().and_then(|_| Some(me.name.as_str().rsplit_once('-')?.0.to_owned()));
        let stateful_set = StatefulSets { hub: prompt.clone(), namespace: namespace.clone(), name };
        let owner = stateful_set.owner().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "can't read the StatefulSet; Leases and the ShardMap get no owner and outlive it");
            None
        });
        let board = Arc::new(LeaseBoard::new(Clock::start(), timing.renew + timing.renewal_deadline()));
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
            health: Arc::new(Health::new(config.round_deadline)),
            metrics,
            fleet_metrics: Arc::default(),
            statuses: Arc::default(),
            board,
            leases,
            store,
            stateful_set,
            leadership: Arc::default(),
            election,
            access,
            config,
        })
    }

    /// Starts the requests that must never be late, over connections that nothing else uses.
    fn start_leases(&self, roles: &mut Roles) {
        const NAME: &str = "the Lease thread";
        let (access, deadline) = (self.access.clone(), self.config.timing.renewal_deadline());
        let (leases, election) = (self.leases.clone(), self.election.clone());
        let (board, leadership, namespace) =
            (self.board.clone(), self.leadership.clone(), self.config.namespace.clone());
        let keep = move || async move {
            let clients = access.client().and_then(|client| Ok((client, access.prompt(deadline)?)));
            let (client, prompt) = match clients {
                Ok(clients) => clients,
                Err(error) => return error.into(),
            };
            let leases = MemberLeases { hub: prompt.clone(), ..leases };
            let election = Election { hub: prompt, ..election };
            tokio::select! {
                () = watch_leases(client, &namespace, &board) => OperatorError::Ended("the Lease watch"),
                lost = leases.keep(&board) => lost.into(),
                error = election.run(&leadership) => error.into(),
            }
        };
        roles.start(NAME, on_own_thread(NAME, keep));
    }

    fn start(&self, roles: &mut Roles) {
        let (map, map_seen) = watch::channel(None);
        let (shard, shard_seen) = watch::channel(Shard::default());
        let (loopback, loopback_seen) = watch::channel(None);
        let reports: Arc<Reports> = Arc::default();
        self.start_leases(roles);
        let stored = watch_map(self.hub.clone(), self.board.history(), &self.store);
        roles.start("the ShardMap watch", follow_map(stored, self.config.me.clone(), map, shard).map(Ok));
        let (types, types_seen) = watch::channel(SeenTypes::default());
        let followed = self.watched(types_seen.clone()).all(None);
        roles.start("the IntegrationType watch", follow_types(followed, types).map(Ok));
        let coordinator = self.coordinator(map_seen.clone(), types_seen.clone(), loopback);
        roles.start("the coordinator", async move { Err(lead(coordinator).await.into()) });
        let watched = self.watched(types_seen.clone());
        let integrations = watched.integrations(Box::new(|_| {}));
        let secrets = match self.config.watch_secrets {
            true => watched.over(|namespace| watch_secrets(watched.hub.clone(), &watched.history, namespace).boxed()),
            false => stream::pending().boxed(),
        };
        let profiles = self.cluster_profiles(types_seen);
        let targets: WatchTargets = Box::new(move |selector| watched.all(selector));
        let worker = self.worker(reports.clone());
        roles.start("the look-up of the hub's addresses", self.refresh_hub_addresses().map(Ok));
        roles.start(
            "the worker",
            worker::run(worker, shard_seen.clone(), targets, integrations, secrets, profiles).map(Ok),
        );
        let reporter = ReporterContext {
            me: self.config.me.clone(),
            reports,
            shard: shard_seen,
            map: map_seen,
            loopback: loopback_seen,
            token_file: self.config.report_token_file.clone(),
            round: self.config.timing.round,
            metrics: self.metrics.clone(),
        };
        roles.start("the reporter", worker::report(reporter).map(Ok));
    }

    fn watched(&self, types: watch::Receiver<SeenTypes>) -> Watched {
        let (hub, history) = (self.hub.clone(), self.board.history().clone());
        Watched { hub, history, namespaces: self.config.namespaces.clone(), types }
    }

    /// The ClusterProfiles of the namespaces that are trusted with ksit's identity; silent unless they are followed.
    fn cluster_profiles(&self, types: watch::Receiver<SeenTypes>) -> BoxStream<'static, Change<ClusterProfile>> {
        let namespaces: Vec<String> = self.config.access_namespaces.iter().cloned().collect();
        match self.config.cluster_profiles && !namespaces.is_empty() {
            true => Watched { namespaces, ..self.watched(types) }.all(None),
            false => stream::pending().boxed(),
        }
    }

    /// Refreshes the addresses of the hub, forever.
    fn refresh_hub_addresses(&self) -> impl Future<Output = ()> + Send + use<> {
        let (hub, server, known) =
            (self.hub.clone(), self.access.server().clone(), self.config.policy.hub_addresses.clone());
        async move {
            loop {
                sleep(LOOKUP_INTERVAL).await;
                match hub_addresses(&hub, &server).await {
                    Ok(addresses) => known.set(addresses),
                    Err(some) => {
                        tracing::debug!("can't look up all addresses of the hub; the previous ones stay refused");
                        known.add(some);
                    }
                }
            }
        }
    }

    fn worker(&self, reports: Arc<Reports>) -> Arc<WorkerContext> {
        let limits = Limits::new(Settings {
            round_timeout: self.config.round_deadline,
            connects: self.config.max_concurrent_connects,
            rounds: self.config.max_concurrent_reconciles,
            connections: self.config.descriptors.for_targets(),
            retained_bytes: memory::for_large_targets(),
            ..Settings::default()
        });
        Arc::new(WorkerContext {
            hub: self.hub.clone(),
            clusters: ClusterManager::new(Arc::new(limits)),
            policy: self.config.policy.clone(),
            tokens: Tokens::new(TokenMaker::new(self.hub.clone(), self.config.oidc_token_lifetime)),
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
                access_namespaces: self.config.access_namespaces.clone(),
                renew_tokens: self.config.renew_tokens,
                cluster_profiles: self.config.cluster_profiles,
                target_metrics: self.config.target_metrics,
            },
        })
    }

    fn coordinator(
        &self,
        map: watch::Receiver<Option<StoredMap>>,
        types: watch::Receiver<SeenTypes>,
        loopback: watch::Sender<Option<mpsc::Sender<Incoming>>>,
    ) -> CoordinatorContext {
        let (targets, integrations) = (self.watched(types.clone()), self.watched(types.clone()));
        let (notifiers, windows) = (self.watched(types.clone()), self.watched(types));
        CoordinatorContext {
            me: self.config.me.clone(),
            config: CoordinatorConfig {
                installation: self.config.installation.clone(),
                timing: self.config.timing,
                watched_namespaces: self.config.namespaces.clone(),
                status_writes_per_second: self.config.status_writes_per_second,
                target_metrics: self.config.target_metrics,
                report_bind_address: self.config.report_bind_address,
                report_host: self.config.report_host.clone(),
                report_token_file: self.config.report_token_file.clone(),
            },
            hub: self.hub.clone(),
            leadership: self.leadership.clone(),
            board: self.board.clone(),
            leases: self.leases.clone(),
            store: self.store.clone(),
            stateful_set: self.stateful_set.clone(),
            map,
            loopback,
            statuses: self.statuses.clone(),
            metrics: self.metrics.clone(),
            fleet_metrics: self.fleet_metrics.clone(),
            watch_targets: Box::new(move || targets.all(None)),
            watch_integrations: Box::new(move |on_type| integrations.integrations(on_type)),
            watch_notifiers: Box::new(move || notifiers.all(None)),
            watch_windows: Box::new(move || windows.all(None)),
            outbound: Outbound::new(Some(self.config.policy.clone())),
        }
    }

    /// Writes the queued statuses until the drain deadline (lost ones are written after the next start), then releases
    /// both Leases, so that nobody has to wait for them to expire.
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
                tracing::warn!(%error, "can't release a Lease; it expires by itself");
            }
        }
        tracing::info!(left, "drained");
    }
}
