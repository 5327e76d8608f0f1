//! A status and its transitions, made ready for the queue.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use crate::api::convert::PhaseChange;
use crate::api::{Integration, IntegrationStatus, IntegrationTarget, IntegrationTargetStatus};
use crate::domain::aggregate::Summary;
use crate::domain::verdict::{Phase, TargetVerdict};
use crate::hub::{ObjectId, Priority, StatusWrite, Transition};

/// The meaning of the former status, unless that is to be written over in any case; and that of the new one.
pub(super) type Meanings = (Option<u128>, u128);

/// `changes`: from the former status to this one.
pub(super) fn target_write(
    object: &IntegrationTarget,
    former: Option<&IntegrationTargetStatus>,
    status: &IntegrationTargetStatus,
    changes: Vec<PhaseChange>,
    meanings: Meanings,
    verdict: &TargetVerdict,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let is_phase_new = former.and_then(|former| former.phase.as_deref()) != status.phase.as_deref();
    let priority = if is_phase_new { Priority::of(verdict) } else { Priority::Detail };
    write(object, status, priority, meanings, changes)
}

pub(super) fn integration_write(
    object: &Integration,
    former: Option<&IntegrationStatus>,
    status: &IntegrationStatus,
    meanings: Meanings,
    summary: &Summary,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let Summary { phase, reason, message, .. } = summary;
    let former_phase = former.and_then(|former| former.phase.clone());
    let is_new = former_phase.as_deref() != Some(phase.as_str()) && *phase != Phase::Initializing;
    let since = former.and_then(|former| former.last_transition_time.as_ref()?.parse().ok());
    let change = is_new.then(|| PhaseChange {
        integration: None,
        from: former_phase.unwrap_or_else(|| Phase::Initializing.as_str().to_owned()),
        to: phase.as_str().to_owned(),
        reason: reason.to_string(),
        message: message.clone(),
        since,
    });
    write(object, status, Priority::Summary, meanings, change.into_iter().collect())
}

fn write<K: Resource<DynamicType = ()>>(
    object: &K,
    status: &impl Serialize,
    priority: Priority,
    (former_meaning, meaning): Meanings,
    changes: Vec<PhaseChange>,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let resource = ApiResource::erase::<K>(&());
    let reference = ObjectReference { resource_version: object.resource_version(), ..object.object_ref(&()) };
    let id = (resource.kind.clone(), object.namespace().unwrap_or_default(), object.name_any());
    let transition = |change: PhaseChange| Transition {
        // An Event is about the object, not about one version of it.
        object: ObjectReference { resource_version: None, ..reference.clone() },
        change,
    };
    let transitions = changes.into_iter().map(transition).collect();
    let status = serde_json::to_string(status)?;
    Ok((id, StatusWrite { resource, object: reference, status, priority, meaning, former_meaning, transitions }))
}
