//! A status and its transitions, serialised for the queue.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::value::to_raw_value;

use crate::api::convert::{stored_integration_status, stored_target_status};
use crate::api::{Integration, IntegrationTarget};
use crate::domain::coordinator::{IntegrationWrite, TargetWrite};
use crate::domain::keys::ObjectKey;
use crate::domain::priority::Priority;
use crate::domain::status::PhaseChange;
use crate::hub::{StatusKey, StatusWrite, Transition};

pub(super) fn target_write(
    object: &IntegrationTarget,
    write: TargetWrite,
) -> Result<(StatusKey, StatusWrite), serde_json::Error> {
    let TargetWrite { key, status, changes, priority, meaning, former_meaning } = write;
    let status = stored_target_status(status);
    queued(object, key.into(), &status, changes, Meanings { priority, meaning, former_meaning })
}

pub(super) fn integration_write(
    object: &Integration,
    write: IntegrationWrite,
) -> Result<(StatusKey, StatusWrite), serde_json::Error> {
    let IntegrationWrite { key, status, change, meaning, former_meaning } = write;
    let status = stored_integration_status(status);
    let changes = change.into_iter().collect();
    queued(object, key.into(), &status, changes, Meanings { priority: Priority::Summary, meaning, former_meaning })
}

#[cfg(test)]
thread_local! {
    /// Statuses serialised on this thread.
    pub(super) static SERIALISED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

struct Meanings {
    priority: Priority,
    meaning: u128,
    former_meaning: Option<u128>,
}

fn queued<K: Resource<DynamicType = ()>>(
    object: &K,
    key: ObjectKey,
    status: &impl Serialize,
    changes: Vec<PhaseChange>,
    Meanings { priority, meaning, former_meaning }: Meanings,
) -> Result<(StatusKey, StatusWrite), serde_json::Error> {
    let resource = ApiResource::erase::<K>(&());
    let reference = ObjectReference { resource_version: object.resource_version(), ..object.object_ref(&()) };
    let id = StatusKey { kind: K::kind(&()), object: key };
    let transition = |change: PhaseChange| Transition {
        // An Event is about the object, not about one version of it.
        object: ObjectReference { resource_version: None, ..reference.clone() },
        change,
    };
    let transitions = changes.into_iter().map(transition).collect();
    #[cfg(test)]
    SERIALISED.set(SERIALISED.get() + 1);
    let status = to_raw_value(status)?;
    Ok((id, StatusWrite { resource, object: reference, status, priority, meaning, former_meaning, transitions }))
}
