//! Writes all statuses to the hub.
//!
//! ```text
//! coordinator ─> StatusQueue (newest wins, priorities take turns) ─> rate limit ─> PUT …/status
//! ```
//!
//! Every write carries the resourceVersion that its decision was based on. A conflict is not retried here: the watch
//! delivers the newer object, and the coordinator decides again.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::{ACCEPT, HeaderValue};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::{DynamicObject, Request};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep_until, timeout};

use super::cause::cause;
use super::duty_cycle::DutyCycle;
use super::events::EventSink;
use super::field_manager::post_params;
use super::prompt_client::PROMPT_TIMEOUT;
use super::status_queue::{StatusKey, StatusQueue, StatusWrite};
use super::write_schedule::WriteSchedule;
use crate::domain::priority::Priority;

/// Concurrent writes: enough for the rate at tens of milliseconds each.
const MAX_IN_FLIGHT: usize = 8;

/// Concurrent writes of details: if each takes seconds, broken tools still find a free place.
const MAX_DETAILS: usize = 4;

/// Writes that may go out at once after a time below the rate limit.
const BURST: u32 = 8;

const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, application/json");

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    Written,
    /// The object was changed or deleted meanwhile; the watch will show it.
    Superseded,
    /// The API server refused it: admission, validation, or missing rights. Retried with backoff: an API server that
    /// has just started refuses everything until its admission policies are loaded.
    Refused,
    /// The hub did not take the request; retried with backoff.
    Retried,
}

impl WriteOutcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Superseded => "superseded",
            Self::Refused => "refused",
            Self::Retried => "retried",
        }
    }
}

/// Pause while the fence forbids writes.
const FENCED_PAUSE: Duration = Duration::from_millis(100);

/// Writes the queued statuses, at most `per_second` and a few concurrently. Never returns. Calls `may_write` before
/// each write and `done` after it. Low-priority writes (unreachable clusters, Integration summaries) go out one at a
/// time, with a pause as long as the write took, so a burst of thousands cannot delay other updates.
pub async fn write_statuses(
    client: Client,
    queue: &StatusQueue,
    per_second: u32,
    duty_cycle: &DutyCycle,
    mut events: EventSink,
    may_write: impl Fn() -> bool,
    done: impl Fn(&StatusKey, WriteOutcome),
) {
    let gap = Duration::from_secs(1) / per_second.max(1);
    let mut next = ago(gap * BURST);
    let mut writes = FuturesUnordered::new();
    let mut limits = Limits::default();
    // Objects whose last write got no answer: it may have taken effect.
    let (mut schedule, mut unanswered) = (WriteSchedule::default(), BTreeSet::new());
    let (client, may_write) = (&client, &may_write);
    loop {
        let wake = schedule.next(Instant::now());
        let dequeue = async {
            sleep_until(next).await;
            let is_paused = |priority| schedule.is_paused(kind_of(priority), Instant::now());
            queue.dequeue_where(|priority| limits.allow(priority) && !is_paused(priority)).await
        };
        tokio::select! {
            (id, write) = dequeue, if writes.len() < MAX_IN_FLIGHT => {
                if !may_write() {
                    next = Instant::now() + FENCED_PAUSE;
                    queue.done(Some((id, write)));
                    continue;
                }
                let Some((id, write)) = schedule.admit(id, write, Instant::now()) else {
                    queue.done(None);
                    continue;
                };
                next = next.max(ago(gap * BURST)) + gap;
                limits.add(write.priority);
                writes.push(async move {
                    let result = match is_low(write.priority) {
                        true => throttled(duty_cycle, may_write, put(client, &write)).await,
                        false => Some(put(client, &write).await),
                    };
                    (result, id, write)
                });
            }
            Some((result, id, mut write)) = writes.next() => {
                limits.remove(write.priority);
                schedule.ended(&id);
                let Some(result) = result else {
                    queue.done(Some((id, write)));
                    continue;
                };
                done(&id, result.outcome);
                queue.done(None);
                if has_taken_effect(&id, &result, &mut unanswered) {
                    std::mem::take(&mut write.transitions).into_iter().for_each(|transition| events.offer(transition));
                }
                record(&mut schedule, id, write, &result);
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                schedule.due(Instant::now()).into_iter().for_each(|(id, write)| queue.requeue(id, write));
            }
        }
    }
}

fn record(schedule: &mut WriteSchedule, id: StatusKey, write: StatusWrite, result: &WriteResult) {
    let now = Instant::now();
    match result.outcome {
        WriteOutcome::Retried => schedule.failed(id, write, false, &result.why, now),
        WriteOutcome::Refused => schedule.failed(id, write, true, &result.why, now),
        WriteOutcome::Superseded => schedule.superseded(&id),
        WriteOutcome::Written => schedule.written(&id, now),
    }
}

/// Whether the hub has the status. A conflict may be with our own earlier write, whose answer was lost.
fn has_taken_effect(id: &StatusKey, result: &WriteResult, unanswered: &mut BTreeSet<StatusKey>) -> bool {
    let was_unanswered = unanswered.remove(id);
    match result.outcome {
        WriteOutcome::Written => true,
        WriteOutcome::Superseded => was_unanswered,
        WriteOutcome::Retried | WriteOutcome::Refused => {
            unanswered.extend((was_unanswered || !result.has_answer).then(|| id.clone()));
            false
        }
    }
}

/// Limits the concurrent writes of low priorities and of details.
#[derive(Default)]
struct Limits {
    low: BTreeSet<Priority>,
    details: usize,
}

impl Limits {
    fn allow(&self, priority: Priority) -> bool {
        !self.low.contains(&priority) && (priority != Priority::Detail || self.details < MAX_DETAILS)
    }

    fn add(&mut self, priority: Priority) {
        self.low.extend(is_low(priority).then_some(priority));
        self.details += usize::from(priority == Priority::Detail);
    }

    fn remove(&mut self, priority: Priority) {
        self.low.remove(&priority);
        self.details -= usize::from(priority == Priority::Detail);
    }
}

/// Whether writes of this priority go out one at a time, throttled by the duty cycle.
fn is_low(priority: Priority) -> bool {
    matches!(priority, Priority::Unreachable | Priority::Summary)
}

/// The kind of the objects that are written with this priority.
fn kind_of(priority: Priority) -> &'static str {
    match priority {
        Priority::Summary => "Integration",
        Priority::Failing | Priority::Unreachable | Priority::CanWait | Priority::Detail => "IntegrationTarget",
    }
}

/// Returns the instant `time` ago, or now if the machine has not been up for that long.
fn ago(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_sub(time).unwrap_or(now)
}

/// Writes once the duty cycle permits; `None` if writes are forbidden by then.
async fn throttled<T>(duty_cycle: &DutyCycle, may_write: impl Fn() -> bool, put: impl Future<Output = T>) -> Option<T> {
    duty_cycle.run(async { if may_write() { Some(put.await) } else { None } }).await
}

/// Outcome of a write, with the cause of a failure.
struct WriteResult {
    outcome: WriteOutcome,
    why: String,
    /// If false, the write may still have taken effect.
    has_answer: bool,
}

impl WriteResult {
    fn with(outcome: WriteOutcome, why: String) -> Self {
        Self { outcome, why, has_answer: true }
    }

    fn without_answer(why: String) -> Self {
        Self { outcome: WriteOutcome::Retried, why, has_answer: false }
    }
}

async fn put(client: &Client, write: &StatusWrite) -> WriteResult {
    let ObjectReference { name, namespace, resource_version, uid, .. } = &write.object;
    let (name, namespace) = (name.as_deref().unwrap_or_default(), namespace.as_deref().unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &write.resource);
    let object = StatusObject {
        api_version: &write.resource.api_version,
        kind: &write.resource.kind,
        metadata: Metadata { name, namespace, resource_version: resource_version.as_deref(), uid: uid.as_deref() },
        status: &write.status,
    };
    match timeout(PROMPT_TIMEOUT, replace_status(client, api.resource_url(), name, &object)).await {
        Ok(Ok(_)) => WriteResult::with(WriteOutcome::Written, String::new()),
        Ok(Err(kube::Error::Api(status))) => match status.code {
            404 | 409 => WriteResult::with(WriteOutcome::Superseded, String::new()),
            504 => WriteResult::without_answer(status.message),
            429 | 500.. => WriteResult::with(WriteOutcome::Retried, status.message),
            _ => WriteResult::with(WriteOutcome::Refused, status.message),
        },
        Ok(Err(error)) => WriteResult::without_answer(format!("the hub {}", cause(&error))),
        Err(_) => WriteResult::without_answer(format!("the hub did not answer within {} s", PROMPT_TIMEOUT.as_secs())),
    }
}

/// The body of a PUT. The status was serialised when it was decided, and goes in as it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusObject<'a> {
    api_version: &'a str,
    kind: &'a str,
    metadata: Metadata<'a>,
    status: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<&'a str>,
}

/// Like `Api::replace_status`, but requests only the metadata of the stored object: the watch delivers it anyway.
async fn replace_status(client: &Client, url: &str, name: &str, object: &StatusObject<'_>) -> kube::Result<()> {
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let request = Request::new(url).replace_subresource("status", name, &post_params(), body);
    let mut request = request.map_err(kube::Error::BuildRequest)?;
    request.headers_mut().insert(ACCEPT, METADATA);
    client.request::<IgnoredAny>(request).await.map(|_| ())
}

#[cfg(test)]
#[path = "status_writer_tests.rs"]
mod tests;
