//! The writer against a slow, a failing and a silent hub.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kube::client::Body;
use kube::core::ApiResource;
use tokio::time::sleep;

use super::super::events::sink;
use super::*;
use crate::domain::keys::ObjectKey;
use crate::domain::verdict::Phase;

const LATENCY: Duration = Duration::from_millis(500);

fn write(name: &str, priority: Priority) -> (StatusKey, StatusWrite) {
    let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("ksit.io", "v1", "Thing"));
    let object = ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() };
    let id = StatusKey { kind: "Thing".into(), object: ObjectKey::new("", name) };
    let (status, meaning) = (RawValue::NULL.to_owned(), 0);
    (id, StatusWrite { resource, object, status, priority, meaning, former_meaning: None, transitions: Vec::new() })
}

/// Runs a writer against a hub with `LATENCY` per write, and `others` beside it. Returns the names of the written
/// objects and the time of each write.
async fn written(queue: &StatusQueue, per_second: u32, others: impl Future<Output = ()>) -> Vec<(String, Duration)> {
    let slow_hub = tower::service_fn(async |_: http::Request<Body>| {
        sleep(LATENCY).await;
        let object = serde_json::json!({ "apiVersion": "ksit.io/v1", "kind": "Thing", "metadata": {} });
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(object.to_string().into_bytes())))
    });
    let started = Instant::now();
    let written = std::cell::RefCell::new(Vec::new());
    let (events, _transitions) = sink();
    let done = |id: &StatusKey, outcome| {
        assert_eq!(outcome, WriteOutcome::Written);
        written.borrow_mut().push((id.object.name().to_owned(), started.elapsed()));
    };
    let (hub, duty_cycle) = (Client::new(slow_hub, "fleet"), DutyCycle::default());
    let writing = write_statuses(hub, queue, per_second, &duty_cycle, events, || true, done);
    let _ = timeout(LATENCY * 20, async { tokio::join!(writing, others) }).await;
    written.into_inner()
}

fn enqueue(queue: &StatusQueue, name: &str, priority: Priority) {
    let (id, write) = write(name, priority);
    queue.enqueue(id, write);
}

#[tokio::test(start_paused = true)]
async fn unreachable_clusters_leave_room_for_other_writes() {
    leaves_room(Priority::Unreachable).await;
}

#[tokio::test(start_paused = true)]
async fn integration_summaries_leave_room_for_other_writes() {
    leaves_room(Priority::Summary).await;
}

async fn leaves_room(priority: Priority) {
    let queue = StatusQueue::default();
    (0..10).for_each(|number| enqueue(&queue, &format!("many-{number}"), priority));
    let breaking = async {
        sleep(LATENCY / 2).await;
        enqueue(&queue, "broken", Priority::Failing);
    };
    let written = written(&queue, 1_000, breaking).await;
    assert_eq!(written.len(), 11, "low-priority writes are made as well: {written:?}");
    let broken = written.iter().find(|(name, _)| name == "broken").unwrap().1;
    assert!(broken < LATENCY * 2, "it does not wait for them: {broken:?}");
    let last = written.last().unwrap().1;
    assert!(last >= LATENCY * 18, "one at a time, each with a pause as long: {last:?}");
}

#[tokio::test(start_paused = true)]
async fn burst_is_concurrent_and_the_rest_keeps_the_rate() {
    let queue = StatusQueue::default();
    (0..20).for_each(|number| enqueue(&queue, &format!("broken-{number}"), Priority::Failing));
    let written = written(&queue, 4, std::future::ready(())).await;
    let concurrent = written.iter().filter(|(_, after)| *after < LATENCY * 2).count();
    assert!((8..=10).contains(&concurrent), "{written:?}");
    let last = written.last().unwrap();
    assert_eq!(written.len(), 20);
    assert!(last.1 >= Duration::from_millis(250) * 10, "four a second: {last:?}");
}

/// The first write takes effect but its answer is lost; the second conflicts with it.
#[tokio::test(start_paused = true)]
async fn transition_of_a_write_without_an_answer_gets_its_event() {
    let request_count = std::sync::Arc::new(AtomicUsize::new(0));
    let requests = request_count.clone();
    let hub = tower::service_fn(move |_: http::Request<Body>| {
        let is_first = requests.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            if is_first {
                std::future::pending::<()>().await;
            }
            let status =
                serde_json::json!({ "kind": "Status", "code": 409, "reason": "Conflict", "status": "Failure" });
            let answer = http::Response::builder().status(409).body(Body::from(status.to_string().into_bytes()));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        }
    });
    let queue = StatusQueue::default();
    let (id, mut write) = write("lost", Priority::Failing);
    write.transitions = vec![super::super::events::change(None, Phase::Running, Phase::Failed)];
    queue.enqueue(id, write);
    let (events, transitions) = sink();
    let duty_cycle = DutyCycle::default();
    let writing = write_statuses(Client::new(hub, "fleet"), &queue, 100, &duty_cycle, events, || true, |_, _| {});
    let _ = timeout(PROMPT_TIMEOUT * 5, writing).await;
    assert_eq!((request_count.load(Ordering::Relaxed), transitions.waiting()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn write_waiting_for_its_permit_is_not_sent_when_fenced() {
    let (request_count, may_write) = (std::sync::Arc::new(AtomicUsize::new(0)), AtomicBool::new(true));
    let requests = request_count.clone();
    let hub = tower::service_fn(move |_: http::Request<Body>| {
        requests.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
    });
    let (queue, duty_cycle) = (StatusQueue::default(), DutyCycle::default());
    enqueue(&queue, "gone", Priority::Unreachable);
    let (events, _transitions) = sink();
    let hub = Client::new(hub, "fleet");
    let writing =
        write_statuses(hub, &queue, 100, &duty_cycle, events, || may_write.load(Ordering::Relaxed), |_, _| {});
    let an_event = duty_cycle.run(async { sleep(LATENCY).await });
    let closing = async {
        sleep(LATENCY / 2).await;
        may_write.store(false, Ordering::Relaxed);
    };
    let _ = tokio::join!(an_event, closing, timeout(LATENCY * 20, writing));
    assert_eq!(request_count.load(Ordering::Relaxed), 0);
    assert_eq!(queue.pending(), 1, "it keeps waiting");
}
