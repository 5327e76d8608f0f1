//! One replica: its roles, started together and ended together.
//!
//! ```text
//! serve (health, metrics) ┐
//! worker ─────────────────┤ the first to end ends the process;
//! coordinator ────────────┤ SIGTERM drains, a second one aborts
//! status writer, Events, ─┤
//! janitor ────────────────┘
//! ```

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use kube::Client;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::api::{Integration, IntegrationTarget};
use crate::controllers::coordinator::{self, Chores, CoordinatorContext, do_chores};
use crate::controllers::worker::{self, Budget, WorkerContext, WorkerSettings};
use crate::domain::replica::ReplicaName;
use crate::hub::{Change, EventSink, Mailbox, StatusQueue, merge, publish_events, watch, write_statuses};
use crate::observability::{Health, Metrics, ServeError, bind, serve};
use crate::targets::kubeconfig::Policy;
use crate::targets::{ClusterManager, Limits, Settings};

/// Everything that a replica is told, checked.
#[derive(Clone, Debug)]
pub struct OperatorConfig {
    pub replica: String,
    pub installation: String,
    /// Empty: all namespaces.
    pub namespaces: Vec<String>,
    pub interval: Duration,
    pub round_deadline: Duration,
    pub failure_threshold: u32,
    pub max_concurrent_reconciles: usize,
    pub max_concurrent_connects: usize,
    pub status_writes_per_second: u32,
    pub metrics_address: SocketAddr,
    pub drain_deadline: Duration,
    pub policy: Policy,
}

#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("{0} ended, which it never should; restart ksit and tell its makers")]
    Ended(&'static str),
    #[error("{0} crashed; restart ksit and tell its makers")]
    Crashed(&'static str),
}

/// Runs until the first of `signals`, then drains; a second one cuts that short.
pub async fn run(
    config: OperatorConfig,
    hub: Client,
    mut signals: impl Stream<Item = ()> + Unpin,
) -> Result<(), OperatorError> {
    let listener = bind(config.metrics_address).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, replica = config.replica, "serving /livez, /readyz and /metrics");
    }
    let metrics = Metrics::new()?;
    let health = Arc::new(Health::default());
    let statuses: Arc<StatusQueue> = Arc::default();
    let mut roles = Roles::default();
    roles.start("the health endpoints", {
        let (health, metrics) = (health.clone(), metrics.clone());
        async move { serve(listener, health, metrics).await.map_err(OperatorError::from) }
    });
    start_roles(&mut roles, &config, &hub, &health, &metrics, &statuses);
    tokio::select! {
        error = roles.first_end() => return Err(error),
        _ = signals.next() => {}
    }
    tokio::select! {
        () = drain(&statuses, config.drain_deadline) => {}
        _ = signals.next() => tracing::warn!(left = statuses.pending(), "asked twice: ending without the rest"),
    }
    Ok(())
}

fn start_roles(
    roles: &mut Roles,
    config: &OperatorConfig,
    hub: &Client,
    health: &Arc<Health>,
    metrics: &Metrics,
    statuses: &Arc<StatusQueue>,
) {
    let reports = Arc::new(Mailbox::default());
    let chores: Arc<Chores> = Arc::default();
    let limits = Limits::new(Settings {
        round_timeout: config.round_deadline,
        connects: config.max_concurrent_connects,
        ..Settings::default()
    });
    let worker = Arc::new(WorkerContext {
        hub: hub.clone(),
        clusters: ClusterManager::new(Arc::new(limits)),
        policy: config.policy.clone(),
        budget: Budget::new(config.max_concurrent_reconciles),
        reports: reports.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        settings: WorkerSettings {
            replica: ReplicaName::new(config.replica.as_str()),
            interval: config.interval,
            failure_threshold: config.failure_threshold,
        },
    });
    let watches = |config: &OperatorConfig| {
        (watch_all::<IntegrationTarget>(hub, &config.namespaces), watch_all::<Integration>(hub, &config.namespaces))
    };
    let (targets, integrations) = watches(config);
    roles.start("the worker", worker::run(worker, targets, integrations).map(Ok));
    let coordinator = CoordinatorContext {
        reports,
        statuses: statuses.clone(),
        chores: chores.clone(),
        health: health.clone(),
        metrics: metrics.clone(),
        installation: config.installation.clone(),
        interval: config.interval,
    };
    let (targets, integrations) = watches(config);
    roles.start("the coordinator", coordinator::run(coordinator, targets, integrations).map(Ok));
    let (events, transitions) = EventSink::channel();
    roles.start("the Event publisher", publish_events(hub.clone(), config.replica.clone(), transitions).map(Ok));
    let (client, per_second) = (hub.clone(), config.status_writes_per_second);
    let (queue, counters) = (statuses.clone(), metrics.status_writes.clone());
    roles.start("the status writer", async move {
        let count = |(kind, _, _): &(String, String, String), outcome: crate::hub::WriteOutcome| {
            counters.with_label_values(&[kind.as_str(), outcome.as_str()]).inc();
        };
        write_statuses(client, &queue, per_second, events, count).await;
        Ok(())
    });
    let client = hub.clone();
    roles.start("the janitor", async move {
        do_chores(client, &chores).await;
        Ok(())
    });
}

/// One stream over all namespaces, or over each of those that are watched.
fn watch_all<K>(hub: &Client, namespaces: &[String]) -> BoxStream<'static, Change<K>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + serde::de::DeserializeOwned
        + Send
        + 'static,
{
    match namespaces {
        [] => watch(hub.clone(), None, None).boxed(),
        [one] => watch(hub.clone(), Some(one), None).boxed(),
        several => merge(several.iter().map(|namespace| watch(hub.clone(), Some(namespace), None).boxed()).collect()),
    }
}

/// Writes what waits, as long as there is time: a status that is lost now is written after the next start.
async fn drain(statuses: &StatusQueue, deadline: Duration) {
    let end = Instant::now() + deadline;
    tracing::info!(waiting = statuses.pending(), "draining");
    while statuses.pending() > 0 && Instant::now() < end {
        sleep(Duration::from_millis(20)).await;
    }
    tracing::info!(left = statuses.pending(), "drained");
}

/// Tasks that run as long as the process; dropping this ends them.
#[derive(Default)]
struct Roles {
    tasks: JoinSet<Result<(), OperatorError>>,
    names: std::collections::HashMap<tokio::task::Id, &'static str>,
}

impl Roles {
    fn start(&mut self, name: &'static str, role: impl Future<Output = Result<(), OperatorError>> + Send + 'static) {
        let role: BoxFuture<'static, _> = role.boxed();
        let id = self.tasks.spawn(role).id();
        self.names.insert(id, name);
    }

    /// Waits for one to end, which is a fault whatever it says.
    async fn first_end(&mut self) -> OperatorError {
        let name = |id| self.names.get(&id).copied().unwrap_or("a role");
        match self.tasks.join_next_with_id().await {
            Some(Ok((_, Err(error)))) => error,
            Some(Ok((id, Ok(())))) => OperatorError::Ended(name(id)),
            Some(Err(error)) => OperatorError::Crashed(name(error.id())),
            None => OperatorError::Ended("every role"),
        }
    }
}
