//! From what was decided to what a user reads.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::component::{in_full, in_words};
use crate::api::{ClusterSummary, IntegrationResult, IntegrationStatus, IntegrationTargetStatus, TargetCounts};
use crate::domain::aggregate::{Cluster, Counts, Summary};
use crate::domain::check_mode::CheckMode;
use crate::domain::desired::DesiredIntegration;
use crate::domain::digest::Digest;
use crate::domain::escape::escape;
use crate::domain::fit::fit;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::Reason;
use crate::domain::report::TargetReport;
use crate::domain::verdict::{ComponentState, Observation, Phase, Reach, TargetVerdict, ToolVerdict, initializing};

/// The condition that a target has while its credential is about to end.
pub const CREDENTIAL_EXPIRING: &str = "CredentialExpiring";

/// Messages longer than this are cut: some hold names that a cluster chose.
const LONGEST_MESSAGE: usize = 1_024;

/// Who writes, and when.
#[derive(Clone, Debug)]
pub struct Writer {
    pub term: i64,
    pub managed_by: String,
    pub now: Timestamp,
}

/// The status of a target after `report`. `former` is what stands there now: unchanged conditions keep their times.
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
    // A worker of an earlier version sends more.
    let (verdict, more) = &fit(verdict);
    let omitted = omitted.saturating_add(*more);
    let (ready, reason, message) = reach(verdict);
    let mut conditions =
        vec![stamp.condition("Ready", ready, reason, &message), stamp.condition("Reachable", ready, reason, &message)];
    conditions.extend(mode.as_ref().map(|mode| watched(&stamp, mode)));
    conditions.extend(credential_ends.map(|at| {
        let message = format!("the credential in the kubeconfig ends at {at}: put a new one into its Secret");
        stamp.condition(CREDENTIAL_EXPIRING, Truth::True, Reason::ExpiresSoon, &message)
    }));
    IntegrationTargetStatus {
        phase: Some(verdict.phase().as_str().to_owned()),
        ready: Some(ready == Truth::True),
        healthy: Some(healthy_tools(verdict)),
        message: Some(cut(&target_message(verdict, &message))),
        conditions,
        integrations: results(verdict, type_of),
        components_omitted: (omitted > 0).then_some(omitted),
        server: server.clone(),
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
        Reach::Paused => (Truth::Unknown, Reason::Paused, "paused: the cluster is left alone".to_owned()),
        Reach::Stale => (Truth::Unknown, Reason::Stale, "nobody has reported for three intervals".to_owned()),
    }
}

fn watched(stamp: &Stamp<'_>, mode: &CheckMode) -> Condition {
    match mode {
        CheckMode::Watch => {
            stamp.condition("Watched", Truth::True, Reason::Watching, "the cluster says itself what changes")
        }
        CheckMode::Poll(why) => stamp.condition("Watched", Truth::False, why.reason, &why.message),
    }
}

fn target_message(verdict: &TargetVerdict, reach: &str) -> String {
    if verdict.reach != Reach::Connected {
        return reach.to_owned();
    }
    let worst = verdict.tools.iter().filter(|(_, tool)| tool.phase.counts()).min_by_key(|(_, tool)| tool.phase);
    match worst {
        None => "the cluster answers; no Integration concerns it".to_owned(),
        Some((_, tool)) if tool.phase == Phase::Running => "all tools healthy".to_owned(),
        Some((key, tool)) => format!("{}: {}", key.name(), tool.message),
    }
}

fn healthy_tools(verdict: &TargetVerdict) -> String {
    let count = |wanted: fn(Phase) -> bool| verdict.tools.iter().filter(|(_, tool)| wanted(tool.phase)).count();
    format!("{}/{}", count(|phase| phase == Phase::Running), count(Phase::counts))
}

/// Worst tools first, and of each what is not healthy.
fn results(verdict: &TargetVerdict, type_of: impl Fn(&IntegrationKey) -> String) -> Vec<IntegrationResult> {
    let mut tools: Vec<&(IntegrationKey, ToolVerdict)> = verdict.tools.iter().collect();
    tools.sort_by(|(a, x), (b, y)| (x.phase, a).cmp(&(y.phase, b)));
    let result = |(key, tool): &(IntegrationKey, ToolVerdict)| {
        let mut observations: Vec<&Observation> = tool.observations.iter().collect();
        observations.sort_by_key(|seen| seen.state.is_healthy() || seen.state == ComponentState::NotInUse);
        let mut result = IntegrationResult {
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
            match in_words(&seen) {
                Some(words) => result.healthy_components.push(words),
                None => result.components.push(in_full(&seen, cut)),
            }
        }
        result
    };
    tools.into_iter().map(result).collect()
}

/// Names of components of an Integration that is older than what the CRD refuses.
fn escaped(seen: &Observation) -> Cow<'_, Observation> {
    match (escape(&seen.namespace), escape(&seen.name)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(seen),
        (namespace, name) => {
            let (namespace, name) = (namespace.into_owned(), name.into_owned());
            Cow::Owned(Observation { namespace, name, ..seen.clone() })
        }
    }
}

/// What is said of a tool on a target: read back from the target's status, so that a new coordinator knows it all from
/// the hub.
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

/// The verdict on a tool that the status does not list, if the cluster can't be reached.
fn unreached(status: &IntegrationTargetStatus) -> Option<(Phase, Reason, Cow<'_, str>)> {
    let reachable = status.condition("Reachable").filter(|condition| condition.status == "False")?;
    Some((Phase::Failed, Reason::read(&reachable.reason)?, Cow::Borrowed(reachable.message.as_str())))
}

/// The status of an Integration.
pub fn integration_status(
    integration: &DesiredIntegration,
    summary: &Summary,
    former: Option<&IntegrationStatus>,
    writer: &Writer,
) -> IntegrationStatus {
    let Summary { phase, reason, message, counts, clusters } = summary;
    let former_conditions = former.map(|former| former.conditions.as_slice()).unwrap_or_default();
    let stamp = Stamp { generation: integration.generation, now: writer.now, former: former_conditions };
    let ready = match phase {
        Phase::Running => Truth::True,
        Phase::Failed => Truth::False,
        _ => Truth::Unknown,
    };
    let (accepted, why, hint) = acceptance(integration);
    let Counts { total, running, failed, unknown, initializing, paused, not_installed } = *counts;
    IntegrationStatus {
        phase: Some(phase.as_str().to_owned()),
        healthy: Some(format!("{running}/{}", counts.counting())),
        message: Some(cut(message)),
        conditions: vec![
            stamp.condition("Ready", ready, *reason, message),
            stamp.condition("Accepted", accepted, why, &hint),
        ],
        targets: Some(TargetCounts { total, running, failed, unknown, initializing, paused, not_installed }),
        clusters: clusters.iter().map(cluster).collect(),
        observed_generation: Some(integration.generation),
        last_sync_time: Some(writer.now.to_string()),
        coordinator_term: Some(writer.term),
        managed_by: Some(writer.managed_by.clone()),
    }
}

fn acceptance(integration: &DesiredIntegration) -> (Truth, Reason, String) {
    match &integration.components {
        Err(error) => (Truth::False, Reason::InvalidConfig, error.clone()),
        Ok(_) if integration.wants_install => (
            Truth::False,
            Reason::AutoInstallRefused,
            "ksit installs nothing: set autoInstall.enabled to false; the tool is checked all the same".to_owned(),
        ),
        Ok(_) => (Truth::True, Reason::Healthy, "the spec is used as it is".to_owned()),
    }
}

fn cluster(cluster: &Cluster) -> ClusterSummary {
    let Cluster { name, target, phase, reason, message } = cluster;
    ClusterSummary {
        name: escape(name).into_owned(),
        target: target.map(str::to_owned),
        phase: phase.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: (!message.is_empty() && *phase != Phase::Running).then(|| cut(message)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Truth {
    True,
    False,
    Unknown,
}

struct Stamp<'a> {
    generation: i64,
    now: Timestamp,
    former: &'a [Condition],
}

impl Stamp<'_> {
    /// As it is stored: in whole seconds.
    fn time(&self) -> Time {
        Time(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now))
    }

    /// A condition; `lastTransitionTime` moves only with its status.
    fn condition(&self, type_: &str, truth: Truth, reason: Reason, message: &str) -> Condition {
        let status = match truth {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        };
        let unchanged = self.former.iter().find(|former| former.type_ == type_ && former.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: cut(message),
            last_transition_time: unchanged.map_or_else(|| self.time(), |former| former.last_transition_time.clone()),
            observed_generation: Some(self.generation),
        }
    }
}

/// What a report means, for comparison with [`stored_digest`].
pub fn digest(report: &TargetReport, type_of: impl Fn(&IntegrationKey) -> String) -> Digest {
    let nobody = Writer { term: 0, managed_by: String::new(), now: Timestamp::UNIX_EPOCH };
    stored_digest(&report.target, &target_status(report, type_of, None, &nobody))
}

/// What the status of a target means: all that tells a user something. Times, and who reported from what, are no news;
/// an `observedGeneration` is, because tools wait for it after an edit.
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
        last_sync_time: _,
        secret_resource_version: _,
        coordinator_term: _,
        managed_by: _,
        reported_by: _,
        report_epoch: _,
    } = status;
    let told = (phase, ready, healthy, message, timeless(conditions), integrations, components_omitted, server);
    // Texts and numbers, which always are JSON.
    let meaning = serde_json::to_string(&(told, observed_generation)).unwrap_or_default();
    Digest::of(target, [meaning.as_str()])
}

/// Whether two statuses of an Integration tell a user the same.
pub fn has_same_meaning_integration(a: &IntegrationStatus, b: &IntegrationStatus) -> bool {
    let meaning = |status: &IntegrationStatus| IntegrationStatus {
        conditions: timeless(&status.conditions),
        last_sync_time: None,
        coordinator_term: None,
        managed_by: None,
        ..status.clone()
    };
    meaning(a) == meaning(b)
}

fn timeless(conditions: &[Condition]) -> Vec<Condition> {
    conditions
        .iter()
        .map(|condition| Condition { last_transition_time: Time(Timestamp::UNIX_EPOCH), ..condition.clone() })
        .collect()
}

/// As a status shows it: escaped, for who reads it with `-o jsonpath` or in a dashboard, and not too long.
fn cut(message: &str) -> String {
    let message = escape(message);
    match message.char_indices().nth(LONGEST_MESSAGE) {
        None => message.into_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
