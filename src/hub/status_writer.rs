//! The one place where statuses are written.
//!
//! ```text
//! coordinator ─> StatusQueue (newest wins, failing ones first) ─> rate limit ─> PUT …/status
//! ```
//!
//! Every write carries the resourceVersion that its decision was made from. After a conflict nothing is done here:
//! the watch brings the newer object, and the coordinator decides again.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::events::{EventSink, Transition};
use super::mailbox::Mailbox;
use crate::api::FIELD_MANAGER;

/// A write that takes longer is given up and tried again.
const DEADLINE: Duration = Duration::from_secs(5);

/// Wait after the hub failed, so that an outage isn't hammered.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);

/// One status to write.
#[derive(Clone, Debug)]
pub struct StatusWrite {
    pub resource: ApiResource,
    pub object: ObjectReference,
    pub status: Value,
    /// Something is failing: written before what is not.
    pub urgent: bool,
    /// Told once the write has been taken.
    pub transition: Option<Transition>,
}

/// Kind, namespace and name of the object that a status is for.
pub type ObjectId = (String, String, String);

/// Statuses that wait to be written.
pub type StatusQueue = Mailbox<ObjectId, StatusWrite>;

/// How a write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteOutcome {
    Written,
    /// The object changed or went meanwhile; the watch will tell.
    Superseded,
    /// The API server refused it for good: admission, validation, or missing rights.
    Refused,
    /// The hub could not be asked; tried again.
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

/// Writes what the queue holds, at most `per_second`, for ever. `done` hears how each write ended.
pub async fn write_statuses(
    client: Client,
    queue: &StatusQueue,
    per_second: u32,
    events: EventSink,
    done: impl Fn(&ObjectId, WriteOutcome),
) {
    let gap = Duration::from_secs(1) / per_second.max(1);
    let mut next = Instant::now();
    loop {
        sleep_until(next).await;
        let (id, write) = queue.take().await;
        next = Instant::now() + gap;
        let outcome = put(&client, &write).await;
        done(&id, outcome);
        match outcome {
            WriteOutcome::Written => {
                if let Some(transition) = write.transition
                    && !events.offer(transition)
                {
                    tracing::warn!(name = id.2, "too many Events wait; this transition gets none");
                }
            }
            WriteOutcome::Retried => {
                let urgent = write.urgent;
                queue.give_back(id, write, urgent);
                sleep(AFTER_A_FAILURE).await;
            }
            WriteOutcome::Superseded | WriteOutcome::Refused => {}
        }
    }
}

async fn put(client: &Client, write: &StatusWrite) -> WriteOutcome {
    let ObjectReference { name, namespace, resource_version, uid, .. } = &write.object;
    let (name, namespace) = (name.as_deref().unwrap_or_default(), namespace.as_deref().unwrap_or_default());
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &write.resource);
    let mut object = DynamicObject::new(name, &write.resource);
    object.metadata.namespace = Some(namespace.to_owned());
    object.metadata.resource_version = resource_version.clone();
    object.metadata.uid = uid.clone();
    object.data = serde_json::json!({ "status": write.status });
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    match timeout(DEADLINE, api.replace_status(name, &params, &object)).await {
        Ok(Ok(_)) => WriteOutcome::Written,
        Ok(Err(kube::Error::Api(status))) => match status.code {
            404 | 409 => WriteOutcome::Superseded,
            429 | 500.. => WriteOutcome::Retried,
            _ => {
                tracing::warn!(
                    kind = write.resource.kind,
                    namespace,
                    name,
                    code = status.code,
                    message = status.message,
                    "the API server refused a status"
                );
                WriteOutcome::Refused
            }
        },
        Ok(Err(error)) => {
            tracing::warn!(%error, "the hub can't be reached to write a status; trying again");
            WriteOutcome::Retried
        }
        Err(_) => {
            tracing::warn!("the hub did not answer a status write within {} s; trying again", DEADLINE.as_secs());
            WriteOutcome::Retried
        }
    }
}
