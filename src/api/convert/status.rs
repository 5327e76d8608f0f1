//! Builds the status of a target, and reads it back.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use serde::Serialize;

use super::component::{to_full, to_short};
use super::conditions::{Stamp, Truth, brief, cut, timeless, transition_time};
use crate::api::{IntegrationResult, IntegrationTargetStatus};
use crate::domain::check_mode::CheckMode;
use crate::domain::digest::Digest;
use crate::domain::escape::escape;
use crate::domain::fit::fit;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::Reason;
use crate::domain::report::TargetReport;
use crate::domain::verdict::{
    ComponentState, Observation, Phase, Reach, TargetVerdict, ToolVerdict, cause_of_failure, initializing,
};

/// Condition that is present while the target's credential is about to expire.
pub const CREDENTIAL_EXPIRING: &str = "CredentialExpiring";

/// Identity of the writer, and the time of the write.
#[derive(Clone, Debug)]
pub struct Writer {
    pub term: i64,
    pub managed_by: String,
    pub now: Timestamp,
}

/// Builds the status from `report`. `former`: the present status, whose unchanged conditions keep their times.
pub fn target_status(
    report: &TargetReport,
    type_of: impl Fn(&IntegrationKey) -> String,
    former: Option<&IntegrationTargetStatus>,
    writer: &Writer,
) -> IntegrationTargetStatus {
    let TargetReport {
        target: _,
        verdict,
        omitted,
        mode,
        generation,
        secret_version,
        server,
        credential_ends,
        reported_by,
        epoch,
        next: _,
    } = report;
    let former_conditions = former.map(|former| former.conditions.as_slice()).unwrap_or_default();
    let stamp = Stamp { generation: *generation, now: writer.now, former: former_conditions };
    // Reports of workers of an earlier version may be larger.
    let (verdict, more) = &fit(verdict);
    let omitted = omitted.saturating_add(*more);
    let (reachable, reason, reached) = reach(verdict);
    let (phase, message) = (verdict.phase(), target_message(verdict, &reached));
    let mut conditions = vec![
        stamp.condition("Ready", Truth::of_health(phase), worst_reason(verdict, reason), &message),
        stamp.condition("Reachable", reachable, reason, &reached),
    ];
    conditions.extend(mode.as_ref().map(|mode| watched(&stamp, mode)));
    conditions.extend(credential_ends.map(|at| {
        let message = format!("the credential in the kubeconfig expires at {at}: put a new one into its Secret");
        stamp.condition(CREDENTIAL_EXPIRING, Truth::True, Reason::ExpiresSoon, &message)
    }));
    let known =
        former.and_then(|former| Some((former.phase.as_ref()?, since(former, former.last_transition_time.as_ref())?)));
    IntegrationTargetStatus {
        phase: Some(phase.as_str().to_owned()),
        ready: Some(reachable == Truth::True),
        healthy: Some(healthy_tools(verdict)),
        message: Some(brief(&message)),
        conditions,
        integrations: results(verdict, type_of, former, writer.now),
        components_omitted: (omitted > 0).then_some(omitted),
        server: server.clone(),
        last_transition_time: Some(transition_time(known, phase, writer.now)),
        history: former.map(|former| former.history.clone()).unwrap_or_default(),
        last_sync_time: Some(writer.now.to_string()),
        observed_generation: Some(*generation),
        secret_resource_version: secret_version.clone(),
        coordinator_term: Some(writer.term),
        managed_by: Some(writer.managed_by.clone()),
        reported_by: Some(reported_by.to_string()),
        report_epoch: Some(epoch.0),
    }
}

fn reach(verdict: &TargetVerdict) -> (Truth, Reason, String) {
    match &verdict.reach {
        Reach::Initializing => (Truth::Unknown, Reason::Initializing, "waiting for the first answer".to_owned()),
        Reach::Connected => (Truth::True, Reason::Connected, "the cluster answers".to_owned()),
        Reach::Failed(failure) => (Truth::False, failure.reason, failure.message.clone()),
        Reach::Paused => (Truth::Unknown, Reason::Paused, "paused: the cluster is not checked".to_owned()),
        Reach::Stale => (Truth::Unknown, Reason::Stale, "nobody has reported for three intervals".to_owned()),
    }
}

/// Returns why the cluster is not healthy: `reach` if ksit can't read it, else the reason of its worst tool.
fn worst_reason(verdict: &TargetVerdict, reach: Reason) -> Reason {
    let worst = verdict.worst_tool().filter(|_| verdict.reach == Reach::Connected);
    worst.map_or(reach, |(_, tool)| tool.reason)
}

fn watched(stamp: &Stamp<'_>, mode: &CheckMode) -> Condition {
    match mode {
        CheckMode::Watch => stamp.condition("Watched", Truth::True, Reason::Watching, "watching for changes"),
        CheckMode::Poll(why) => stamp.condition("Watched", Truth::False, why.reason, &why.message),
    }
}

fn target_message(verdict: &TargetVerdict, reach: &str) -> String {
    if verdict.reach != Reach::Connected {
        return reach.to_owned();
    }
    match verdict.worst_tool() {
        None => "the cluster answers; no Integration selects it".to_owned(),
        Some((_, tool)) if tool.phase == Phase::Running => "all tools healthy".to_owned(),
        Some((key, tool)) => format!("{}: {}", key.name(), tool.message),
    }
}

fn healthy_tools(verdict: &TargetVerdict) -> String {
    let count = |wanted: fn(Phase) -> bool| verdict.tools.iter().filter(|(_, tool)| wanted(tool.phase)).count();
    format!("{}/{}", count(|phase| phase == Phase::Running), count(Phase::counts))
}

/// Returns the transition time, or `lastSyncTime` for the status of an earlier version, which has nothing else.
fn since<'a>(status: &'a IntegrationTargetStatus, time: Option<&'a String>) -> Option<&'a String> {
    time.or(status.last_sync_time.as_ref())
}

/// Builds the results: worst tools first, and unhealthy components first within each.
fn results(
    verdict: &TargetVerdict,
    type_of: impl Fn(&IntegrationKey) -> String,
    former: Option<&IntegrationTargetStatus>,
    now: Timestamp,
) -> Vec<IntegrationResult> {
    let mut tools: Vec<&(IntegrationKey, ToolVerdict)> = verdict.tools.iter().collect();
    tools.sort_by(|(a, x), (b, y)| (x.phase, a).cmp(&(y.phase, b)));
    let result = |(key, tool): &(IntegrationKey, ToolVerdict)| {
        let mut observations: Vec<&Observation> = tool.observations.iter().collect();
        observations.sort_by_key(|seen| seen.state.is_healthy() || seen.state == ComponentState::NotInUse);
        let known = former.and_then(|former| {
            let known = former.integrations.iter().find(|known| known.name == key.name())?;
            Some((&known.phase, since(former, known.last_transition_time.as_ref())?))
        });
        let mut result = IntegrationResult {
            last_transition_time: Some(transition_time(known, tool.phase, now)),
            name: key.name().to_owned(),
            type_: type_of(key),
            phase: tool.phase.as_str().to_owned(),
            reason: tool.reason.as_str().to_owned(),
            message: Some(cut(&tool.message)),
            components: Vec::new(),
            healthy_components: Vec::new(),
        };
        for seen in observations {
            let seen = escaped(seen);
            match to_short(&seen) {
                Some(text) => result.healthy_components.push(text),
                None => result.components.push(to_full(&seen, cut)),
            }
        }
        result
    };
    tools.into_iter().map(result).collect()
}

/// Escapes names from Integrations that were stored before the CRD refused such names.
fn escaped(seen: &Observation) -> Cow<'_, Observation> {
    match (escape(&seen.namespace), escape(&seen.name)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(seen),
        (namespace, name) => {
            let (namespace, name) = (namespace.into_owned(), name.into_owned());
            Cow::Owned(Observation { namespace, name, ..seen.clone() })
        }
    }
}

/// Reads the state of a tool on a target from the target's status, so that a new coordinator needs nothing but the hub.
pub fn said_of<'a>(
    integration: &IntegrationKey,
    status: Option<&'a IntegrationTargetStatus>,
) -> (Phase, Reason, Cow<'a, str>) {
    let known = status.and_then(|status| status.integrations.iter().find(|result| result.name == integration.name()));
    let known = known.and_then(|result| {
        let message = Cow::Borrowed(result.message.as_deref().unwrap_or_default());
        Some((Phase::read(&result.phase)?, Reason::read(&result.reason)?, message))
    });
    known.or_else(|| unreached(status?)).unwrap_or_else(|| {
        let tool = initializing();
        (tool.phase, tool.reason, Cow::Owned(tool.message))
    })
}

/// Returns why ksit can't read the cluster; `None` if it can, or if the state is unknown.
pub fn unreachable_cause(status: &IntegrationTargetStatus) -> Option<Reason> {
    unreached(status).map(|(_, reason, message)| cause_of_failure(reason, &message))
}

/// Returns the state of a tool that the status does not list, if the cluster is unreachable.
fn unreached(status: &IntegrationTargetStatus) -> Option<(Phase, Reason, Cow<'_, str>)> {
    let reachable = status.condition("Reachable").filter(|condition| condition.status == "False")?;
    Some((Phase::Failed, Reason::read(&reachable.reason)?, Cow::Borrowed(reachable.message.as_str())))
}

/// Computes the digest of a report, for comparison with [`stored_digest`].
pub fn digest(report: &TargetReport, type_of: impl Fn(&IntegrationKey) -> String) -> Digest {
    let nobody = Writer { term: 0, managed_by: String::new(), now: Timestamp::UNIX_EPOCH };
    stored_digest(&report.target, &target_status(report, type_of, None, &nobody))
}

/// Computes the digest of a target's status over everything that matters to a user. Times, the reporter and its sources
/// are left out; `observedGeneration` is included, because tools wait for it after an edit.
pub fn stored_digest(target: &TargetKey, status: &IntegrationTargetStatus) -> Digest {
    let IntegrationTargetStatus {
        phase,
        ready,
        healthy,
        message,
        conditions,
        integrations,
        components_omitted,
        server,
        observed_generation,
        last_transition_time: _,
        history: _,
        last_sync_time: _,
        secret_resource_version: _,
        coordinator_term: _,
        managed_by: _,
        reported_by: _,
        report_epoch: _,
    } = status;
    let tools: Vec<_> = integrations.iter().map(meaning_of_tool).collect();
    let shown = (phase, ready, healthy, message, timeless(conditions), tools, components_omitted, server);
    // Strings and numbers always serialise.
    let meaning = serde_json::to_string(&(shown, observed_generation)).unwrap_or_default();
    Digest::of(target, [meaning.as_str()])
}

fn meaning_of_tool(result: &IntegrationResult) -> impl Serialize {
    let IntegrationResult {
        name,
        type_,
        phase,
        reason,
        message,
        last_transition_time: _,
        components,
        healthy_components,
    } = result;
    (name, type_, phase, reason, message, components, healthy_components)
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
