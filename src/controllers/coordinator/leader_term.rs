//! One term after the other: waits for leadership, claims the term, runs the role, ends it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tracing::{Instrument, Span};

use super::callers::{authenticator, members};
use super::event_loop::{EventLoop, Sources, now};
use super::map_requests::MapRequests;
use super::metadata_repair::RepairTask;
use super::notifications::NotifyTasks;
use super::objects::{Objects, WatchedTarget};
use super::other_installations::watch_leases;
use super::series::SeriesWriter;
use super::term_claim::{claim, shown};
use super::write_fence::WriteFence;
use super::{RepairQueue, run_repairs};
use crate::api::{IntegrationTarget, IntegrationType, MaintenanceWindow, Notifier};
use crate::controllers::typed::{OnType, TypedIntegration};
use crate::domain::coordinator::{self, Coordinator, Event, NotifyTask, TermEnd};
use crate::domain::member::Timing;
use crate::domain::replica::{Incarnation, Term};
use crate::hub::{
    Change, DutyCycle, EventSink, Leadership, LeaseBoard, MapStore, MemberLeases, StatefulSets, StatusKey, StatusQueue,
    StoredMap, WriteOutcome, publish_events, write_statuses,
};
use crate::observability::{FleetMetrics, Metrics, TargetMetrics};
use crate::reports::{Admission, Incoming, IsMember, TermCertificate, serve};
use crate::targets::Outbound;

pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Messages of workers that wait to be read. More wait in the workers, where the newest wins.
const MESSAGES: usize = 256;

/// Answers of the hub that wait to be read.
const EVENTS: usize = 16;

#[derive(Clone, Debug)]
pub struct CoordinatorConfig {
    pub installation: String,
    pub timing: Timing,
    /// Empty: all.
    pub watched_namespaces: Vec<String>,
    pub status_writes_per_second: u32,
    pub target_metrics: TargetMetrics,
    /// Where reports are taken.
    pub report_bind_address: std::net::SocketAddr,
    /// How others reach that: a host; the bound one by default.
    pub report_host: Option<String>,
    /// This replica's own token for reports, by which it knows the ServiceAccount of all.
    pub report_token_file: Option<std::path::PathBuf>,
}

/// Handles that every term needs.
pub struct CoordinatorContext {
    pub me: Incarnation,
    pub config: CoordinatorConfig,
    pub hub: Client,
    pub leadership: Arc<Leadership>,
    pub board: Arc<LeaseBoard>,
    pub leases: MemberLeases,
    pub store: MapStore,
    pub stateful_set: StatefulSets,
    /// The map as the watch shows it.
    pub map: watch::Receiver<Option<StoredMap>>,
    /// Open while this replica leads: the way of its own reports.
    pub loopback: watch::Sender<Option<mpsc::Sender<Incoming>>>,
    pub statuses: Arc<StatusQueue>,
    pub metrics: Metrics,
    pub fleet_metrics: Arc<FleetMetrics>,
    pub watch_targets: Box<dyn Fn() -> BoxStream<'static, Change<IntegrationTarget>> + Send + Sync>,
    pub watch_integrations: Box<dyn Fn(OnType) -> BoxStream<'static, Change<TypedIntegration>> + Send + Sync>,
    pub watch_notifiers: Box<dyn Fn() -> BoxStream<'static, Change<Notifier>> + Send + Sync>,
    pub watch_windows: Box<dyn Fn() -> BoxStream<'static, Change<MaintenanceWindow>> + Send + Sync>,
    /// To the receivers of notifications.
    pub outbound: Outbound,
}

#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    #[error("--report-bind-address: can't listen on {address}: {source}")]
    Bind { address: std::net::SocketAddr, source: std::io::Error },
    #[error("a certificate for the report service can't be made: {0}")]
    Certificate(String),
    #[error("{0} ended while this replica led")]
    Ended(&'static str),
    #[error("{0} crashed while this replica led")]
    Crashed(&'static str),
}

/// For ever: an error ends the process.
pub async fn lead(context: CoordinatorContext) -> LeadError {
    let mut claim = context.leadership.claim.subscribe();
    loop {
        // The election ends only with the process.
        if claim.wait_for(Option::is_some).await.is_err() {
            return LeadError::Ended("the election");
        }
        let mut tasks = JoinSet::new();
        let role_running = TermGuard::begin(&context);
        let end = tokio::select! {
            end = run_term(&context, &mut tasks) => Some(end),
            _ = claim.wait_for(Option::is_none) => None,
        };
        tasks.shutdown().await;
        drop(role_running);
        match end {
            None => tracing::info!("this replica leads no more"),
            Some(Err(error)) => return error,
            Some(Ok(end @ TermEnd::CutOff)) => {
                tracing::warn!(%end, "giving up the lead");
                context.leadership.resign.notify_one();
                let _ = claim.wait_for(Option::is_none).await;
            }
            Some(Ok(end)) => {
                tracing::warn!(%end, "claiming a new term, if this replica still leads");
                sleep(RETRY_DELAY).await;
            }
        }
    }
}

/// The election waits for its end before it gives the Lease away.
struct TermGuard<'a>(&'a CoordinatorContext);

impl<'a> TermGuard<'a> {
    fn begin(context: &'a CoordinatorContext) -> Self {
        context.leadership.role_running.send_replace(true);
        context.statuses.clear();
        Self(context)
    }
}

impl Drop for TermGuard<'_> {
    fn drop(&mut self) {
        self.0.loopback.send_replace(None);
        self.0.fleet_metrics.close();
        self.0.metrics.forget_fleet();
        self.0.leadership.role_running.send_replace(false);
    }
}

/// The first task that ended, and with it the term.
enum TaskEnd {
    Term(TermEnd),
    Unexpected(&'static str),
}

/// The tasks of a term. Their log lines carry it.
struct TermTasks<'a> {
    set: &'a mut JoinSet<TaskEnd>,
    span: Span,
}

impl TermTasks<'_> {
    /// Starts a task that runs as long as the term.
    fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = async move {
            task.await;
            TaskEnd::Unexpected(name)
        };
        self.set.spawn(task.instrument(self.span.clone()));
    }
}

async fn run_term(context: &CoordinatorContext, tasks: &mut JoinSet<TaskEnd>) -> Result<TermEnd, LeadError> {
    let fence = WriteFence::new(context.leadership.claim.subscribe(), context.board.clock());
    let mut targets = (context.watch_targets)().map(WatchedTarget::of).boxed();
    let repairs: Arc<RepairQueue> = Arc::default();
    let types = repairs.clone();
    let accept = move |object: &IntegrationType| types.offer(RepairTask::AcceptType(Box::new(object.clone())));
    let mut integrations = (context.watch_integrations)(Box::new(accept));
    let (first_targets, first_integrations) = tokio::join!(first_list(&mut targets), first_list(&mut integrations));
    let (Some(first_targets), Some(first_integrations)) = (first_targets, first_integrations) else {
        return Err(LeadError::Ended("a watch of the hub"));
    };
    let mut objects = Objects::default();
    let mut first: Vec<Event> = first_integrations.into_iter().map(|change| objects.on_integration(change)).collect();
    first.extend(first_targets.into_iter().map(|change| objects.on_target(change)));
    let address = context.config.report_bind_address;
    let listener = TcpListener::bind(address).await.map_err(|source| LeadError::Bind { address, source })?;
    let (certificate, stored) = claim(context, &fence, &listener, &shown(&first)).await?;
    let term = stored.published.map.term;
    tracing::info!(%term, "this replica is the coordinator");
    context.metrics.coordinator_term.set(term.0);
    let span = tracing::info_span!("coordinator", %term);
    let mut tasks = TermTasks { set: tasks, span: span.clone() };

    let is_member =
        members(context.me.clone(), context.config.installation.clone(), context.board.clone(), context.map.clone());
    let (messages, incoming) = mpsc::channel(MESSAGES);
    let (events, more_events) = mpsc::channel(EVENTS);
    let (tasks_of_notifiers, notify_tasks) = mpsc::unbounded_channel();
    let repairs_of_loop = repairs.clone();
    let (mut event_loop, requests) =
        event_loop(context, objects, &stored, is_member.clone(), repairs_of_loop, tasks_of_notifiers);
    let others = event_loop.other_installations.subscribe();
    span.in_scope(|| {
        first.into_iter().for_each(|event| drop(event_loop.handle(event)));
        event_loop.begin();
    });
    context.loopback.send_replace(Some(messages.clone()));
    start_service(context, &mut tasks, listener, certificate, is_member, messages);
    start_writers(context, &mut tasks, &fence, repairs);
    let (hub, answers) = (context.store.hub.clone(), events.clone());
    tasks.spawn("the watch of other installations", watch_leases(hub, others, answers));
    let performer = notify_tasks_of(context, &fence, term);
    tasks.spawn("the sender of notifications", performer.run(notify_tasks, events.clone()));
    let map_requests = map_requests(context, fence, stored, events);
    tasks.spawn("the writer of the shard map", map_requests.run(requests, context.map.clone()));
    let scrapes = context.fleet_metrics.open();
    let (notifiers, windows) = ((context.watch_notifiers)(), (context.watch_windows)());
    let sources =
        Sources { targets, integrations, notifiers, windows, messages: incoming, events: more_events, scrapes };
    let running = async move {
        let end = event_loop.run(sources).await;
        end.map_or(TaskEnd::Unexpected("a watch of the hub"), TaskEnd::Term)
    };
    tasks.set.spawn(running.instrument(span));
    match tasks.set.join_next().await {
        Some(Ok(TaskEnd::Term(end))) => Ok(end),
        Some(Ok(TaskEnd::Unexpected(task))) => Err(LeadError::Ended(task)),
        _ => Err(LeadError::Crashed("a task of the coordinator")),
    }
}

fn event_loop(
    context: &CoordinatorContext,
    objects: Objects,
    stored: &StoredMap,
    is_member: IsMember,
    repairs: Arc<RepairQueue>,
    notify_tasks: mpsc::UnboundedSender<NotifyTask>,
) -> (EventLoop, mpsc::UnboundedReceiver<super::map_requests::MapRequest>) {
    let config = &context.config;
    let core =
        coordinator::Config { me: context.me.clone(), installation: installation(context), timing: config.timing };
    let (requests, receiver) = mpsc::unbounded_channel();
    let event_loop = EventLoop {
        coordinator: Coordinator::new(core, stored.published.clone(), now(&context.board)),
        objects,
        board: context.board.clone(),
        installation: config.installation.clone(),
        is_member,
        statuses: context.statuses.clone(),
        repairs,
        requests,
        notify_tasks,
        other_installations: watch::Sender::new(Vec::new()),
        series: SeriesWriter::new(config.target_metrics),
        metrics: context.metrics.clone(),
        links: BTreeMap::new(),
    };
    (event_loop, receiver)
}

fn map_requests(
    context: &CoordinatorContext,
    fence: WriteFence,
    stored: StoredMap,
    events: mpsc::Sender<Event>,
) -> MapRequests {
    MapRequests {
        board: context.board.clone(),
        leases: context.leases.clone(),
        store: context.store.clone(),
        stateful_set: context.stateful_set.clone(),
        fence,
        watched_namespaces: context.config.watched_namespaces.clone(),
        stored,
        events,
    }
}

/// As `managedBy` names it.
fn installation(context: &CoordinatorContext) -> String {
    format!("{}/{}", context.store.namespace, context.config.installation)
}

fn notify_tasks_of(context: &CoordinatorContext, fence: &WriteFence, term: Term) -> NotifyTasks {
    NotifyTasks {
        hub: context.hub.clone(),
        outbound: context.outbound.clone(),
        fence: fence.clone(),
        term,
        installation: installation(context),
        metrics: context.metrics.clone(),
    }
}

fn start_service(
    context: &CoordinatorContext,
    tasks: &mut TermTasks<'_>,
    listener: TcpListener,
    certificate: TermCertificate,
    is_member: IsMember,
    messages: mpsc::Sender<Incoming>,
) {
    let auth = authenticator(context.hub.clone(), context.config.report_token_file.clone());
    tasks.spawn("the report service", async move {
        let end = serve(listener, certificate, Admission { auth, is_member }, messages).await;
        tracing::error!(?end, "the report service ended");
    });
}

/// Starts the tasks that write to the hub, except for the map's.
fn start_writers(
    context: &CoordinatorContext,
    tasks: &mut TermTasks<'_>,
    fence: &WriteFence,
    repairs: Arc<RepairQueue>,
) {
    let (events, transitions) = EventSink::channel(context.metrics.events_dropped.clone());
    let duty_cycle: Arc<DutyCycle> = Arc::default();
    let (hub, name, shared) = (context.hub.clone(), context.me.name.to_string(), duty_cycle.clone());
    tasks.spawn("the Event publisher", async move { publish_events(hub, name, &shared, transitions).await });
    let (hub, queue, may_write) = (context.hub.clone(), context.statuses.clone(), fence.clone());
    let (per_second, counters) = (context.config.status_writes_per_second, context.metrics.status_writes.clone());
    tasks.spawn("the status writer", async move {
        let count = |key: &StatusKey, outcome: WriteOutcome| {
            counters.with_label_values(&[key.kind.as_ref(), outcome.as_str()]).inc();
        };
        write_statuses(hub, &queue, per_second, &duty_cycle, events, || may_write.may_write(), count).await;
    });
    let (hub, fence) = (context.hub.clone(), fence.clone());
    tasks.spawn("the metadata repair", async move { run_repairs(hub, &repairs, &fence).await });
}

/// Everything up to the end of the first list. `None` if the watch ended.
async fn first_list<K>(changes: &mut BoxStream<'static, Change<K>>) -> Option<Vec<Change<K>>> {
    let mut first = Vec::new();
    loop {
        let change = changes.next().await?;
        let is_last = matches!(change, Change::Listed(_));
        first.push(change);
        if is_last {
            return Some(first);
        }
    }
}
