//! A status and its Event, made ready for the queue.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::ApiResource;
use kube::{Resource, ResourceExt};
use serde::Serialize;

use crate::api::{Integration, IntegrationStatus, IntegrationTarget, IntegrationTargetStatus};
use crate::domain::aggregate::Summary;
use crate::domain::reason::Reason;
use crate::domain::verdict::{Phase, Reach, TargetVerdict};
use crate::hub::{ObjectId, StatusWrite, Transition, Urgency};

pub(super) fn target_write(
    object: &IntegrationTarget,
    former: Option<&IntegrationTargetStatus>,
    status: &IntegrationTargetStatus,
    verdict: &TargetVerdict,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let reason = match &verdict.reach {
        Reach::Failed(failure) => failure.reason,
        Reach::Stale => Reason::Stale,
        Reach::Paused => Reason::Paused,
        Reach::Initializing => Reason::Initializing,
        Reach::Connected => worst_reason(verdict),
    };
    let message = status.message.clone().unwrap_or_default();
    let (phase, former_phase) = (verdict.phase(), former.and_then(|former| former.phase.as_deref()));
    let urgency = if former_phase == Some(phase.as_str()) { Urgency::Detail } else { Urgency::of(verdict) };
    write(object, status, former_phase, News { phase, urgency, reason, message })
}

fn worst_reason(verdict: &TargetVerdict) -> Reason {
    let counting = verdict.tools.iter().map(|(_, tool)| tool).filter(|tool| tool.phase.counts());
    counting.min_by_key(|tool| tool.phase).map_or(Reason::Connected, |tool| tool.reason)
}

pub(super) fn integration_write(
    object: &Integration,
    former: Option<&IntegrationStatus>,
    status: &IntegrationStatus,
    summary: &Summary,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let Summary { phase, reason, message, .. } = summary;
    let news = News { phase: *phase, urgency: Urgency::Summary, reason: *reason, message: message.clone() };
    write(object, status, former.and_then(|former| former.phase.as_deref()), news)
}

struct News {
    phase: Phase,
    urgency: Urgency,
    reason: Reason,
    message: String,
}

fn write<K: Resource<DynamicType = ()>>(
    object: &K,
    status: &impl Serialize,
    former_phase: Option<&str>,
    news: News,
) -> Result<(ObjectId, StatusWrite), serde_json::Error> {
    let resource = ApiResource::erase::<K>(&());
    let reference = ObjectReference { resource_version: object.resource_version(), ..object.object_ref(&()) };
    let id = (resource.kind.clone(), object.namespace().unwrap_or_default(), object.name_any());
    let changed = former_phase != Some(news.phase.as_str()) && news.phase != Phase::Initializing;
    let transition = changed.then(|| Transition {
        // An Event is about the object, not about one version of it.
        object: ObjectReference { resource_version: None, ..reference.clone() },
        warning: news.phase.is_bad(),
        reason: news.reason,
        note: news.message,
    });
    let status = serde_json::to_string(status)?;
    Ok((id, StatusWrite { resource, object: reference, status, urgency: news.urgency, transition }))
}
