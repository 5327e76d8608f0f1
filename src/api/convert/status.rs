//! Maps the status of a target to the stored JSON and back, field by field. What it says is decided in `domain::status`.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{self, Time};

use super::maintenance_window::{maintenance, stored_maintenance};
use crate::api::{ComponentStatus, IntegrationResult, IntegrationTargetStatus, TransitionRecord};
use crate::domain::reason::Reason;
use crate::domain::replica::{Epoch, ReplicaName, Term};
use crate::domain::status::{self, ComponentLine, Condition, TargetStatus, ToolStatus, Truth};
use crate::domain::verdict::Phase;

/// The status as it is stored.
pub fn stored_target_status(status: TargetStatus) -> IntegrationTargetStatus {
    let TargetStatus {
        phase,
        ready,
        healthy,
        message,
        conditions,
        tools,
        components_omitted,
        server,
        generation,
        since,
        maintenance,
        history,
        synced_at,
        secret_version,
        term,
        managed_by,
        reported_by,
        report_epoch,
    } = status;
    IntegrationTargetStatus {
        phase: phase.map(|phase| phase.as_str().to_owned()),
        ready,
        healthy,
        message,
        conditions: conditions.into_iter().map(stored_condition).collect(),
        integrations: tools.into_iter().map(stored_tool).collect(),
        components_omitted,
        server,
        last_transition_time: since.map(|time| time.to_string()),
        maintenance: maintenance.map(stored_maintenance),
        history: history.into_iter().map(stored_transition).collect(),
        last_sync_time: synced_at.map(|time| time.to_string()),
        observed_generation: generation,
        secret_resource_version: secret_version,
        coordinator_term: term.map(|Term(term)| term),
        managed_by,
        reported_by: reported_by.map(|name| name.to_string()),
        report_epoch: report_epoch.map(|Epoch(epoch)| epoch),
    }
}

pub(super) fn stored_condition(condition: Condition) -> v1::Condition {
    let Condition { kind, truth, reason, message, since, generation } = condition;
    v1::Condition {
        type_: kind,
        status: truth.as_str().to_owned(),
        reason: stored_reason(reason),
        message,
        last_transition_time: Time(since),
        observed_generation: generation,
    }
}

fn stored_tool(tool: ToolStatus) -> IntegrationResult {
    let ToolStatus {
        name,
        type_name,
        phase,
        reason,
        message,
        version,
        since,
        components,
        healthy_components,
        resources,
    } = tool;
    IntegrationResult {
        name,
        type_: type_name,
        phase: stored_phase(phase),
        reason: stored_reason(reason),
        message: Some(message),
        version,
        last_transition_time: since.map(|time| time.to_string()),
        components: components.into_iter().map(stored_component).collect(),
        healthy_components,
        resources: resources.into_iter().map(super::resources::stored).collect(),
    }
}

fn stored_component(component: ComponentLine) -> ComponentStatus {
    let ComponentLine { kind, namespace, name, state, ready, desired, since, message } = component;
    let since = since.map(|time| time.to_string());
    ComponentStatus { kind, namespace, name, state, ready, desired, since, message }
}

fn stored_transition(transition: status::TransitionRecord) -> TransitionRecord {
    let status::TransitionRecord { time, integration, from, to, reason } = transition;
    TransitionRecord {
        time: time.to_string(),
        integration,
        from: from.as_str().to_owned(),
        to: to.as_str().to_owned(),
        reason: stored_reason(reason),
    }
}

pub(super) fn stored_phase(phase: Option<Phase>) -> String {
    phase.map_or_else(String::new, |phase| phase.as_str().to_owned())
}

pub(super) fn stored_reason(reason: Option<Reason>) -> String {
    reason.map_or_else(String::new, |reason| reason.as_str().to_owned())
}

/// A stored status, as far as it can be read. One of an earlier version has no times of transitions: the time of its
/// last write stands for them.
pub fn target_status(stored: IntegrationTargetStatus) -> TargetStatus {
    let IntegrationTargetStatus {
        phase,
        ready,
        healthy,
        message,
        conditions,
        integrations,
        components_omitted,
        server,
        last_transition_time,
        maintenance: shown,
        history,
        last_sync_time,
        observed_generation,
        secret_resource_version,
        coordinator_term,
        managed_by,
        reported_by,
        report_epoch,
    } = stored;
    let synced_at = time(last_sync_time.as_deref());
    TargetStatus {
        phase: phase.as_deref().and_then(Phase::read),
        ready,
        healthy,
        message,
        conditions: conditions.into_iter().filter_map(condition).collect(),
        tools: integrations.into_iter().map(|result| tool(result, synced_at)).collect(),
        components_omitted,
        server,
        generation: observed_generation,
        since: time(last_transition_time.as_deref()).or(synced_at),
        maintenance: shown.and_then(maintenance),
        history: history.into_iter().filter_map(transition).collect(),
        synced_at,
        secret_version: secret_resource_version,
        term: coordinator_term.map(Term),
        managed_by,
        reported_by: reported_by.map(ReplicaName::new),
        report_epoch: report_epoch.map(Epoch),
    }
}

pub(super) fn time(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// `None` for one whose status is no status of a condition.
pub(super) fn condition(stored: v1::Condition) -> Option<Condition> {
    let v1::Condition { type_, status, reason, message, last_transition_time, observed_generation } = stored;
    Some(Condition {
        kind: type_,
        truth: Truth::read(&status)?,
        reason: Reason::read(&reason),
        message,
        since: last_transition_time.0,
        generation: observed_generation,
    })
}

fn tool(stored: IntegrationResult, synced_at: Option<Timestamp>) -> ToolStatus {
    let IntegrationResult {
        name,
        type_,
        phase,
        reason,
        message,
        version,
        last_transition_time,
        components,
        healthy_components,
        resources,
    } = stored;
    let component = |stored| {
        let ComponentStatus { kind, namespace, name, state, ready, desired, since, message } = stored;
        ComponentLine { kind, namespace, name, state, ready, desired, since: time(since.as_deref()), message }
    };
    ToolStatus {
        name,
        type_name: type_,
        phase: Phase::read(&phase),
        reason: Reason::read(&reason),
        message: message.unwrap_or_default(),
        version,
        since: time(last_transition_time.as_deref()).or(synced_at),
        components: components.into_iter().map(component).collect(),
        healthy_components,
        resources: resources.into_iter().map(super::resources::read).collect(),
    }
}

fn transition(stored: TransitionRecord) -> Option<status::TransitionRecord> {
    let TransitionRecord { time: at, integration, from, to, reason } = stored;
    Some(status::TransitionRecord {
        time: time(Some(&at))?,
        integration,
        from: Phase::read(&from)?,
        to: Phase::read(&to)?,
        reason: Reason::read(&reason),
    })
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
