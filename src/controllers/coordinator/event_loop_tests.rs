//! Messages through the event loop, and their writes.

use serde_json::json;

use super::super::publish::SERIALISED;
use super::*;
use crate::api::IntegrationTarget;
use crate::domain::coordinator::Config;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::member::Timing;
use crate::domain::reason::Reason;
use crate::domain::replica::{Epoch, Term};
use crate::domain::report::{FromWorker, Heartbeat, TargetReport};
use crate::domain::shard_map::{PublishedMap, ShardMap};
use crate::domain::shards::Shards;
use crate::domain::status::RENDERED;
use crate::domain::verdict::{Phase, Reach, TargetVerdict, ToolVerdict};
use crate::hub::Clock;
use crate::observability::TargetMetrics;

fn worker() -> Arc<Incarnation> {
    Arc::new(Incarnation::new("ksit-0", "uid", "nonce"))
}

/// The loop of a coordinator whose only worker owns everything, `fleet/c1` included.
fn event_loop(is_member: IsMember) -> EventLoop {
    let (me, board) = (worker(), Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6))));
    let map = ShardMap {
        term: Term(1),
        epoch: Epoch(1),
        members: [(me.name.clone(), (*me).clone())].into(),
        shards: Shards::new([(me.name.clone(), "000-3ff".parse().unwrap())]),
    };
    let claimed = PublishedMap { map, coordinator: (*me).clone(), contact: None };
    let config = Config { me: (*me).clone(), installation: "ksit-system/ksit".to_owned(), timing: Timing::default() };
    let mut event_loop = EventLoop {
        coordinator: Coordinator::new(config, claimed, now(&board)),
        objects: Objects::default(),
        board,
        installation: "ksit".to_owned(),
        is_member,
        statuses: Arc::default(),
        repairs: Arc::default(),
        requests: mpsc::unbounded_channel().0,
        notify_tasks: mpsc::unbounded_channel().0,
        other_installations: watch::Sender::new(Vec::new()),
        series: SeriesWriter::new(TargetMetrics::Auto),
        metrics: Metrics::new().unwrap(),
        links: BTreeMap::new(),
    };
    let object = json!({
        "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": "c1" }, "spec": { "clusterName": "c1" },
    });
    let target: IntegrationTarget = serde_json::from_value(object).unwrap();
    let event = event_loop.objects.on_target(WatchedTarget::of(Change::Applied(Box::new(target))));
    event_loop.handle(event);
    event_loop.begin();
    event_loop
}

fn receive(event_loop: &mut EventLoop, sender: Arc<Incarnation>, message: FromWorker) {
    let incoming = Incoming { sender, message, bytes: 9, replies: mpsc::channel(16).0 };
    if let Some(message) = event_loop.admit(incoming) {
        event_loop.handle(Event::Message(message));
    }
}

fn report(sequence: u64, phase: Phase) -> FromWorker {
    let tool = ToolVerdict::without_observations(phase, Reason::ComponentNotReady, "istiod 0/1");
    let tools = vec![(IntegrationKey::new("fleet", "istio"), tool)];
    let verdict = Arc::new(TargetVerdict { reach: Reach::Connected, tools });
    let report = Box::new(TargetReport {
        generation: 1,
        epoch: Epoch(1),
        next: Duration::from_secs(30),
        ..TargetReport::new(TargetKey::new("fleet", "c1"), verdict)
    });
    FromWorker::Report { sequence, meaning: None, report }
}

#[tokio::test]
async fn broken_component_is_rendered_and_serialised_once() {
    let mut event_loop = event_loop(Arc::new(|_| true));
    receive(&mut event_loop, worker(), report(1, Phase::Running));
    let (rendered, serialised) = (RENDERED.get(), SERIALISED.get());
    receive(&mut event_loop, worker(), report(2, Phase::Failed));
    assert_eq!((RENDERED.get() - rendered, SERIALISED.get() - serialised), (1, 1));
    assert_eq!((event_loop.statuses.pending(), event_loop.statuses.superseded()), (1, 1));
    receive(&mut event_loop, worker(), report(3, Phase::Failed));
    assert_eq!(SERIALISED.get() - serialised, 1, "nothing changed");
}

#[tokio::test]
async fn messages_of_strangers_are_dropped() {
    let mut event_loop = event_loop(Arc::new(|process| *process == *worker()));
    // Another Pod of the same name is a stranger too.
    for stranger in ["intruder", "ksit-0"].map(|name| Arc::new(Incarnation::new(name, "other", "x"))) {
        receive(&mut event_loop, stranger.clone(), report(1, Phase::Failed));
        let heartbeat = Heartbeat { epoch: Epoch(1), targets: 0, late: Vec::new(), set: None, confirms: false };
        receive(&mut event_loop, stranger, FromWorker::Heartbeat(heartbeat));
    }
    assert!(event_loop.links.is_empty());
    assert_eq!(event_loop.statuses.pending(), 0);
    assert_eq!(event_loop.metrics.observations.with_label_values(&["not_a_member"]).get(), 4);
}
