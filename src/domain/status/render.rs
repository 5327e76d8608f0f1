//! Renders a report as the status of its target. Times and history are added by [`stamp`](super::stamp).

use jiff::Timestamp;

use super::component::add_components;
use super::stamp::{Stamps, Writer};
use super::text::{brief, cut};
use super::{CREDENTIAL_EXPIRING, Condition, REACHABLE, READY, TargetStatus, ToolStatus, Truth, WATCHED};
use crate::domain::check_mode::CheckMode;
use crate::domain::digest::Digest;
use crate::domain::fit::fit;
use crate::domain::keys::IntegrationKey;
use crate::domain::reason::Reason;
use crate::domain::replica::Term;
use crate::domain::report::TargetReport;
use crate::domain::verdict::{Phase, Reach, STALE_MESSAGE, TargetVerdict, ToolVerdict};

/// Digest of the status that the report is rendered as.
pub fn report_digest(report: &TargetReport, type_of: impl Fn(&IntegrationKey) -> String) -> Digest {
    let nobody = Writer { term: Term(0), managed_by: String::new(), now: Timestamp::UNIX_EPOCH };
    target_status(report, type_of, None, &nobody).digest(&report.target)
}

#[cfg(test)]
thread_local! {
    /// Calls of [`target_status`] on this thread.
    pub(crate) static RENDERED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// The status of a target after `report`. `former` is the present one: unchanged phases and conditions keep their times.
pub fn target_status(
    report: &TargetReport,
    type_of: impl Fn(&IntegrationKey) -> String,
    former: Option<&TargetStatus>,
    writer: &Writer,
) -> TargetStatus {
    let TargetReport {
        target: _,
        verdict,
        omitted,
        mode,
        generation,
        secret_version,
        server,
        credential_ends,
        renewal_failure,
        note,
        reported_by,
        epoch,
        next: _,
    } = report;
    #[cfg(test)]
    RENDERED.set(RENDERED.get() + 1);
    // A worker of an earlier version sends more than fits.
    let (verdict, more) = &fit(verdict);
    let omitted = omitted.saturating_add(*more);
    let (reachable, reason, reached) = reach(verdict, note.as_deref());
    let (phase, message) = (verdict.phase(), target_message(verdict, &reached));
    let stamps = Stamps { now: writer.now, former };
    let condition = |kind: &str, truth, reason, message: &str| Condition {
        kind: kind.to_owned(),
        truth,
        reason: Some(reason),
        message: cut(message),
        since: stamps.condition(kind, truth),
        generation: Some(*generation),
    };
    let mut conditions = vec![
        condition(READY, Truth::of_health(phase), worst_reason(verdict, reason), &message),
        condition(REACHABLE, reachable, reason, &reached),
    ];
    conditions.extend(mode.as_ref().map(|mode| match mode {
        CheckMode::Watch => condition(WATCHED, Truth::True, Reason::Watching, "watching for changes"),
        CheckMode::Poll(why) => condition(WATCHED, Truth::False, why.reason, &why.message),
    }));
    let ending = credential_ends.map(|at| expiring(at, renewal_failure.as_deref()));
    conditions.extend(ending.map(|(reason, message)| condition(CREDENTIAL_EXPIRING, Truth::True, reason, &message)));
    TargetStatus {
        phase: Some(phase),
        ready: Some(reachable == Truth::True),
        healthy: Some(healthy_tools(verdict)),
        message: Some(brief(&message)),
        conditions,
        tools: tools(verdict, type_of, &stamps),
        components_omitted: (omitted > 0).then_some(omitted),
        server: server.clone(),
        generation: Some(*generation),
        since: Some(stamps.phase(phase)),
        maintenance: former.and_then(|former| former.maintenance.clone()),
        history: former.map(|former| former.history.clone()).unwrap_or_default(),
        synced_at: Some(writer.now),
        secret_version: secret_version.clone(),
        term: Some(writer.term),
        managed_by: Some(writer.managed_by.clone()),
        reported_by: Some(reported_by.clone()),
        report_epoch: Some(*epoch),
    }
}

fn expiring(at: Timestamp, renewal_failure: Option<&str>) -> (Reason, String) {
    match renewal_failure {
        Some(why) => (Reason::RenewalFailed, format!("the token ends at {at} and is not renewed: {why}")),
        None => (
            Reason::ExpiresSoon,
            format!("the credential in the kubeconfig expires at {at}: put a new one into its Secret"),
        ),
    }
}

fn reach(verdict: &TargetVerdict, note: Option<&str>) -> (Truth, Reason, String) {
    match &verdict.reach {
        Reach::Initializing => (Truth::Unknown, Reason::Initializing, "waiting for the first answer".to_owned()),
        Reach::Connected => {
            let note = note.map(|note| format!("; {note}")).unwrap_or_default();
            (Truth::True, Reason::Connected, format!("the cluster answers{note}"))
        }
        Reach::Failed(failure) => (Truth::False, failure.reason, failure.message.clone()),
        Reach::Paused => (Truth::Unknown, Reason::Paused, "paused: the cluster is not checked".to_owned()),
        Reach::Stale => (Truth::Unknown, Reason::Stale, STALE_MESSAGE.to_owned()),
    }
}

/// The reason for the condition `Ready`: that of the worst tool, or `reach` for a cluster that can't be read.
fn worst_reason(verdict: &TargetVerdict, reach: Reason) -> Reason {
    let worst = verdict.worst_tool().filter(|_| verdict.reach == Reach::Connected);
    worst.map_or(reach, |(_, tool)| tool.reason)
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

/// Worst tools first, then by name.
fn tools(verdict: &TargetVerdict, type_of: impl Fn(&IntegrationKey) -> String, stamps: &Stamps<'_>) -> Vec<ToolStatus> {
    let mut tools: Vec<&(IntegrationKey, ToolVerdict)> = verdict.tools.iter().collect();
    tools.sort_by(|(a, x), (b, y)| (x.phase, a).cmp(&(y.phase, b)));
    let tool = |(key, tool): &(IntegrationKey, ToolVerdict)| {
        let mut status = ToolStatus {
            name: key.name().to_owned(),
            type_name: type_of(key),
            phase: Some(tool.phase),
            reason: Some(tool.reason),
            message: cut(&tool.message),
            version: tool.version.clone(),
            since: Some(stamps.tool(key.name(), tool.phase)),
            components: Vec::new(),
            healthy_components: Vec::new(),
            resources: tool.resources.clone(),
        };
        add_components(&mut status, &tool.observations);
        status
    };
    tools.into_iter().map(tool).collect()
}
