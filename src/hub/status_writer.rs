//! The one place where statuses are written.
//!
//! ```text
//! coordinator ─> StatusQueue (newest wins, sorts take turns) ─> rate limit ─> PUT …/status
//! ```
//!
//! Every write carries the resourceVersion that its decision was made from. After a conflict nothing is done here:
//! the watch brings the newer object, and the coordinator decides again.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{DynamicObject, Request};
use kube::{Api, Client};
use serde::de::IgnoredAny;
use tokio::time::{Instant, sleep_until, timeout};

use super::cause::cause;
use super::duty_cycle::DutyCycle;
use super::events::EventSink;
use super::field_manager::post_params;
use super::prompt_client::PROMPT_TIMEOUT;
use super::status_queue::{ObjectId, StatusQueue, StatusWrite};
use super::write_schedule::WriteSchedule;
use crate::domain::priority::Priority;

/// Writes under way at a time: enough for the rate at tens of milliseconds each.
const IN_FLIGHT: usize = 8;

/// Details among them: a hub that takes seconds for each leaves room for what breaks.
const DETAILS: usize = 4;

/// Writes that need not wait for one another where there were fewer than the rate allows.
const BURST: u32 = 8;

const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json");

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    Written,
    /// The object changed or went meanwhile; the watch will tell.
    Superseded,
    /// The API server refused it: admission, validation, or missing rights. Tried again ever more rarely: one that has
    /// just started refuses everything until its admission policies are in place.
    Refused,
    /// The hub could not be asked; tried again ever more rarely.
    Retried,
}

impl WriteOutcome {
    pub const ALL: [Self; 4] = [Self::Written, Self::Superseded, Self::Refused, Self::Retried];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::Retried => "retried",
        }
    }
}

/// Pause while nothing may be written.
const CLOSED: Duration = Duration::from_millis(100);

/// Writes what the queue holds, `per_second` at the most and a few at once, for ever. `may_write` is asked before each;
/// `done` hears how each ended. What gives way is said one after the other, at half speed: that clusters can't be reached
/// comes of thousands at once, that of Integrations of all together, and the busier an API server is with either, the
/// later comes what there is to say of the other clusters.
pub async fn write_statuses(
    client: Client,
    queue: &StatusQueue,
    per_second: u32,
    duty_cycle: &DutyCycle,
    mut events: EventSink,
    may_write: impl Fn() -> bool,
    done: impl Fn(&ObjectId, WriteOutcome),
) {
    let gap = Duration::from_secs(1) / per_second.max(1);
    let mut next = ago(gap * BURST);
    let mut writes = FuturesUnordered::new();
    let mut places = Places::default();
    // Objects whose last write got no answer: it may have been made all the same.
    let (mut schedule, mut unanswered) = (WriteSchedule::default(), BTreeSet::new());
    let (client, may_write) = (&client, &may_write);
    loop {
        let wake = schedule.next(Instant::now());
        let turn = async {
            sleep_until(next).await;
            queue.dequeue_where(|sort| places.has(sort) && !schedule.is_paused(kind_of(sort), Instant::now())).await
        };
        tokio::select! {
            (id, write) = turn, if writes.len() < IN_FLIGHT => {
                if !may_write() {
                    next = Instant::now() + CLOSED;
                    queue.done(Some((id, write)));
                    continue;
                }
                let Some((id, write)) = schedule.admit(id, write, Instant::now()) else {
                    queue.done(None);
                    continue;
                };
                next = next.max(ago(gap * BURST)) + gap;
                places.take(write.priority);
                writes.push(async move {
                    let end = match gives_way(write.priority) {
                        true => in_turn(duty_cycle, may_write, put(client, &write)).await,
                        false => Some(put(client, &write).await),
                    };
                    (end, id, write)
                });
            }
            Some((end, id, mut write)) = writes.next() => {
                places.free(write.priority);
                schedule.ended(&id);
                let Some(ended) = end else {
                    queue.done(Some((id, write)));
                    continue;
                };
                done(&id, ended.outcome);
                queue.done(None);
                if is_made(&id, &ended, &mut unanswered) {
                    std::mem::take(&mut write.transitions).into_iter().for_each(|transition| events.offer(transition));
                }
                match ended.outcome {
                    WriteOutcome::Retried | WriteOutcome::Refused => {
                        schedule.failed(id, write, ended.outcome == WriteOutcome::Refused, &ended.why, Instant::now());
                    }
                    WriteOutcome::Superseded => schedule.superseded(&id),
                    WriteOutcome::Written => schedule.written(&id, Instant::now()),
                }
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                schedule.due(Instant::now()).into_iter().for_each(|(id, write)| queue.requeue(id, write));
            }
        }
    }
}

/// Whether what the write tells of stands on the hub: what a write met there may be its own, whose answer was lost.
fn is_made(id: &ObjectId, ended: &Ended, unanswered: &mut BTreeSet<ObjectId>) -> bool {
    let was_unanswered = unanswered.remove(id);
    match ended.outcome {
        WriteOutcome::Written => true,
        WriteOutcome::Superseded => was_unanswered,
        WriteOutcome::Retried | WriteOutcome::Refused => {
            unanswered.extend((was_unanswered || !ended.has_answer).then(|| id.clone()));
            false
        }
    }
}

/// Writes of a sort that are under way, where there may not be any number.
#[derive(Default)]
struct Places {
    giving_way: BTreeSet<Priority>,
    details: usize,
}

impl Places {
    fn has(&self, sort: Priority) -> bool {
        !self.giving_way.contains(&sort) && (sort != Priority::Detail || self.details < DETAILS)
    }

    fn take(&mut self, sort: Priority) {
        self.giving_way.extend(gives_way(sort).then_some(sort));
        self.details += usize::from(sort == Priority::Detail);
    }

    fn free(&mut self, sort: Priority) {
        self.giving_way.remove(&sort);
        self.details -= usize::from(sort == Priority::Detail);
    }
}

/// Written one after the other, at half speed.
fn gives_way(sort: Priority) -> bool {
    matches!(sort, Priority::Unreachable | Priority::Summary)
}

/// The kind of the objects that are written with that priority.
fn kind_of(sort: Priority) -> &'static str {
    match sort {
        Priority::Summary => "Integration",
        Priority::Failing | Priority::Unreachable | Priority::CanWait | Priority::Detail => "IntegrationTarget",
    }
}

/// That moment; now if the machine has not run for so long.
fn ago(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(time).unwrap_or(now)
}

/// The write when its turn has come; `None` if nothing may be written by then.
async fn in_turn<T>(duty_cycle: &DutyCycle, may_write: impl Fn() -> bool, put: impl Future<Output = T>) -> Option<T> {
    duty_cycle.run(async { if may_write() { Some(put.await) } else { None } }).await
}

/// How a write ended, and for a failure why.
struct Ended {
    outcome: WriteOutcome,
    why: String,
    /// False: the hub may have made the write all the same.
    has_answer: bool,
}

impl Ended {
    fn with(outcome: WriteOutcome, why: String) -> Self {
        Self { outcome, why, has_answer: true }
    }

    fn without_answer(why: String) -> Self {
        Self { outcome: WriteOutcome::Retried, why, has_answer: false }
    }
}

async fn put(client: &Client, write: &StatusWrite) -> Ended {
    let ObjectReference { name, namespace, resource_version, uid, .. } = &write.object;
    let (name, namespace) = (name.as_deref().unwrap_or_default(), namespace.as_deref().unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &write.resource);
    let mut object = DynamicObject::new(name, &write.resource);
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.resource_version = resource_version.clone();
    object.metadata.uid = uid.clone();
    let Ok(status) = serde_json::from_str::<serde_json::Value>(&write.status) else {
        return Ended::with(WriteOutcome::Refused, "the status is no JSON".to_owned());
    };
    object.data = serde_json::json!({ "status": status });
    match timeout(PROMPT_TIMEOUT, replace_status(client, api.resource_url(), name, &object)).await {
        Ok(Ok(_)) => Ended::with(WriteOutcome::Written, String::new()),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            404 | 409 => Ended::with(WriteOutcome::Superseded, String::new()),
            504 => Ended::without_answer(status.message),
            429 | 500.. => Ended::with(WriteOutcome::Retried, status.message),
            _ => Ended::with(WriteOutcome::Refused, status.message),
        },
        Ok(Err(error)) => Ended::without_answer(format!("the hub {}", cause(&error))),
        Err(_) => Ended::without_answer(format!("the hub did not answer within {} s", PROMPT_TIMEOUT.as_secs())),
    }
}

/// As `Api::replace_status`, but of what is stored then only the metadata is asked for: the watch brings it anyway.
async fn replace_status(client: &Client, url: &str, name: &str, object: &DynamicObject) -> kube::Result<()> {
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = Request::new(url).replace_subresource("status", name, &post_params(), body);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.headers_mut().insert(ACCEPT, METADATA);
    client.request::<IgnoredAny>(request).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use kube::client::Body;
    use kube::core::ApiResource;
    use tokio::time::sleep;

    use super::super::events::sink;
    use super::*;
    use crate::domain::verdict::Phase;

    const LATENCY: Duration = Duration::from_millis(500);

    fn write(name: &str, priority: Priority) -> (ObjectId, StatusWrite) {
        let resource = ApiResource::from_gvk(&kube::core::GroupVersionKind::gvk("ksit.io", "v1", "Thing"));
        let object = ObjectReference { name: Some(name.to_owned()), ..ObjectReference::default() };
        let id = ("Thing".to_owned(), String::new(), name.to_owned());
        let (status, meaning) = ("{}".to_owned(), 0);
        (id, StatusWrite { resource, object, status, priority, meaning, former_meaning: None, transitions: Vec::new() })
    }

    /// What a writer says to a hub that takes `LATENCY` for each, and after how long, while `others` post to its queue.
    async fn said(queue: &StatusQueue, per_second: u32, others: impl Future<Output = ()>) -> Vec<(String, Duration)> {
        let slow_hub = tower::service_fn(async |_: http::Request<Body>| {
            sleep(LATENCY).await;
            let object = serde_json::json!({ "apiVersion": "ksit.io/v1", "kind": "Thing", "metadata": {} });
            Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(object.to_string().into_bytes())))
        });
        let begun = Instant::now();
        let said = std::cell::RefCell::new(Vec::new());
        let (events, _transitions) = sink();
        let heard = |id: &ObjectId, outcome| {
            assert_eq!(outcome, WriteOutcome::Written);
            said.borrow_mut().push((id.2.clone(), begun.elapsed()));
        };
        let (hub, duty_cycle) = (Client::new(slow_hub, "fleet"), DutyCycle::default());
        let writing = write_statuses(hub, queue, per_second, &duty_cycle, events, || true, heard);
        let _ = timeout(LATENCY * 20, async { tokio::join!(writing, others) }).await;
        said.into_inner()
    }

    fn enqueue(queue: &StatusQueue, name: &str, priority: Priority) {
        let (id, write) = write(name, priority);
        queue.enqueue(id, write);
    }

    #[tokio::test(start_paused = true)]
    async fn that_clusters_cannot_be_reached_leaves_room_for_the_rest() {
        leaves_room(Priority::Unreachable).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_integrations_come_to_leaves_room_for_clusters() {
        leaves_room(Priority::Summary).await;
    }

    async fn leaves_room(priority: Priority) {
        let queue = StatusQueue::default();
        (0..10).for_each(|number| enqueue(&queue, &format!("many-{number}"), priority));
        let breaking = async {
            sleep(LATENCY / 2).await;
            enqueue(&queue, "broken", Priority::Failing);
        };
        let said = said(&queue, 1_000, breaking).await;
        assert_eq!(said.len(), 11, "those that wait come all the same: {said:?}");
        let broken = said.iter().find(|(name, _)| name == "broken").unwrap().1;
        assert!(broken < LATENCY * 2, "it waits for nobody: {broken:?}");
        let last = said.last().unwrap().1;
        assert!(last >= LATENCY * 18, "one at a time, and as long nothing: {last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_go_together_and_many_keep_to_the_rate() {
        let queue = StatusQueue::default();
        (0..20).for_each(|number| enqueue(&queue, &format!("broken-{number}"), Priority::Failing));
        let said = said(&queue, 4, std::future::ready(())).await;
        let together = said.iter().filter(|(_, after)| *after < LATENCY * 2).count();
        assert!((8..=10).contains(&together), "{said:?}");
        let last = said.last().unwrap();
        assert_eq!(said.len(), 20);
        assert!(last.1 >= Duration::from_millis(250) * 10, "four a second: {last:?}");
    }

    /// The hub made the first write, and its answer was lost; the second meets what the first wrote.
    #[tokio::test(start_paused = true)]
    async fn transition_of_a_write_without_an_answer_gets_its_event() {
        let asked = std::sync::Arc::new(AtomicUsize::new(0));
        let requests = asked.clone();
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
        assert_eq!((asked.load(Ordering::Relaxed), transitions.waiting()), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waited_for_its_turn_is_not_sent_once_nothing_may_be_written() {
        let (asked, may_write) = (std::sync::Arc::new(AtomicUsize::new(0)), AtomicBool::new(true));
        let requests = asked.clone();
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
        assert_eq!(asked.load(Ordering::Relaxed), 0);
        assert_eq!(queue.pending(), 1, "it waits on");
    }
}
