//! A cluster with the state of every tool on it.

use std::collections::{BTreeMap, BTreeSet};

use kube::ResourceExt;
use serde::Serialize;

use crate::api::{IntegrationResult, IntegrationTarget, MaintenanceStatus};
use crate::domain::selector::Selector;
use crate::domain::verdict::Phase;

/// One cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRow {
    /// Namespace of the IntegrationTarget.
    pub namespace: String,
    /// Name of the IntegrationTarget.
    pub name: String,
    /// The worst phase of the cluster and its tools.
    pub phase: String,
    /// Whether ksit can read the cluster; `None` before the first check.
    pub reachable: Option<bool>,
    /// RFC 3339 time of the last change of the phase.
    pub since: Option<String>,
    /// Summary for people.
    pub message: Option<String>,
    /// The maintenance window that covers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceStatus>,
    /// Labels of the IntegrationTarget, with those of its spec.
    pub labels: BTreeMap<String, String>,
    /// Reason of the condition `Reachable`, if that is False.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable: Option<String>,
    /// Message of that condition, which names the remedy.
    #[serde(skip)]
    pub unreachable_message: Option<String>,
    /// Reasons of the conditions.
    #[serde(skip)]
    pub reasons: BTreeSet<String>,
    /// The tools that are checked on it.
    pub tools: Vec<ToolRow>,
}

/// One tool on a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolRow {
    /// Name of the Integration.
    pub integration: String,
    /// Its type, such as `argocd`.
    #[serde(rename = "type")]
    pub type_: String,
    /// The phase of the tool.
    pub phase: String,
    /// The reason of the phase.
    pub reason: String,
    /// The version that runs, if known.
    pub version: Option<String>,
    /// Cause and remedy.
    pub message: Option<String>,
    /// RFC 3339 time of the last change of the phase.
    pub since: Option<String>,
}

impl From<&IntegrationTarget> for ClusterRow {
    fn from(target: &IntegrationTarget) -> Self {
        let status = target.status.clone().unwrap_or_default();
        let mut labels = target.spec.labels.clone().unwrap_or_default();
        labels.extend(target.labels().iter().map(|(key, value)| (key.clone(), value.clone())));
        let unreachable = status.condition("Reachable").filter(|condition| condition.status == "False");
        Self {
            namespace: target.namespace().unwrap_or_default(),
            name: target.name_any(),
            phase: status.phase.clone().unwrap_or_else(|| Phase::Initializing.as_str().to_owned()),
            reachable: status.ready,
            since: status.last_transition_time.clone(),
            message: status.message.clone(),
            maintenance: status.maintenance.clone(),
            labels,
            unreachable: unreachable.map(|condition| condition.reason.clone()),
            unreachable_message: unreachable.map(|condition| condition.message.clone()),
            reasons: status.conditions.iter().map(|condition| condition.reason.clone()).collect(),
            tools: status.integrations.into_iter().map(ToolRow::from).collect(),
        }
    }
}

impl From<IntegrationResult> for ToolRow {
    fn from(result: IntegrationResult) -> Self {
        let IntegrationResult { name, type_, phase, reason, message, version, last_transition_time, .. } = result;
        Self { integration: name, type_, phase, reason, version, message, since: last_transition_time }
    }
}

impl ClusterRow {
    /// The phase for sorting, worst first.
    pub fn rank(&self) -> Phase {
        Phase::read(&self.phase).unwrap_or(Phase::Initializing)
    }
}

impl ToolRow {
    /// The name that people know it by: its type, or for custom components that of the Integration.
    pub fn title(&self) -> &str {
        if self.type_ == "custom" { &self.integration } else { &self.type_ }
    }

    /// Whether the reason is this one, or the message names it: the reason of a Pod stands in the message.
    fn has_reason(&self, reason: &str) -> bool {
        let words = |message: &String| message.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == reason);
        self.reason == reason || self.message.as_ref().is_some_and(words)
    }
}

/// Selects clusters: one has to meet all conditions that are given.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Part of the name, of the namespace or of the message; in any case.
    pub text: Option<String>,
    /// Labels of the cluster.
    pub labels: Option<Selector>,
    /// Phases of the cluster or, where types are given, of these tools; in any case. Empty: any.
    pub phases: Vec<String>,
    /// Types of tools, or names of Integrations. Others are left out of the rows. Empty: any.
    pub types: Vec<String>,
    /// Reason of a condition, of a tool or of its Pods.
    pub reason: Option<String>,
    /// Version of a tool.
    pub version: Option<String>,
}

impl Filter {
    /// Whether the cluster meets the conditions.
    pub fn matches(&self, row: &ClusterRow) -> bool {
        let tools: Vec<&ToolRow> = row.tools.iter().filter(|tool| self.has_type(tool)).collect();
        if !self.types.is_empty() && tools.is_empty() {
            return false;
        }
        let is_phase = |phase: &str| self.phases.iter().any(|wanted| wanted.eq_ignore_ascii_case(phase));
        (self.phases.is_empty()
            || if self.types.is_empty() {
                is_phase(&row.phase)
            } else {
                tools.iter().any(|tool| is_phase(&tool.phase))
            })
            && self
                .reason
                .as_ref()
                .is_none_or(|reason| row.reasons.contains(reason) || tools.iter().any(|tool| tool.has_reason(reason)))
            && self
                .version
                .as_ref()
                .is_none_or(|version| tools.iter().any(|tool| tool.version.as_ref() == Some(version)))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&row.labels))
            && self.text.as_ref().is_none_or(|text| contains(row, &text.to_lowercase()))
    }

    /// The row with the tools that are asked for; `None` if the cluster does not meet the conditions.
    pub fn apply(&self, mut row: ClusterRow) -> Option<ClusterRow> {
        let is_met = self.matches(&row);
        row.tools.retain(|tool| self.has_type(tool));
        is_met.then_some(row)
    }

    /// Whether rows show the tool.
    pub fn has_type(&self, tool: &ToolRow) -> bool {
        self.types.is_empty() || self.types.iter().any(|name| *name == tool.type_ || *name == tool.integration)
    }
}

fn contains(row: &ClusterRow, lower: &str) -> bool {
    let texts = [Some(&row.name), Some(&row.namespace), row.message.as_ref()];
    texts.into_iter().flatten().any(|text| text.to_lowercase().contains(lower))
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    pub fn row(name: &str, phase: &str, reason: &str, message: &str) -> ClusterRow {
        let target = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": name, "namespace": "fleet", "labels": {"env": "prod"}}, "spec": {"clusterName": name},
            "status": {"phase": phase, "ready": true, "integrations": [
                {"name": "argocd", "type": "argocd", "phase": phase, "reason": reason, "version": "2.11.0", "message": message},
                {"name": "mesh", "type": "istio", "phase": "Running", "reason": "Healthy"}]}});
        ClusterRow::from(&serde_json::from_value::<IntegrationTarget>(target).unwrap())
    }

    #[test]
    fn filter_selects_by_text_labels_phase_type_reason_and_version() {
        let broken = row("berlin", "Failed", "ComponentNotReady", "Deployment web: CrashLoopBackOff in container app");
        let is_found = |filter: Filter| filter.matches(&broken);
        let words = |words: &str| vec![words.to_owned()];
        let some = |text: &str| Some(text.to_owned());
        assert!(is_found(Filter::default()));
        assert!(is_found(Filter { phases: words("failed"), ..Filter::default() }));
        assert!(!is_found(Filter { phases: words("Running"), ..Filter::default() }));
        assert!(!is_found(Filter { types: words("flux"), ..Filter::default() }));
        assert!(is_found(Filter { reason: some("ComponentNotReady"), ..Filter::default() }));
        assert!(is_found(Filter { reason: some("CrashLoopBackOff"), ..Filter::default() }));
        assert!(!is_found(Filter { reason: some("Crash"), ..Filter::default() }));
        assert!(is_found(Filter { version: some("2.11.0"), ..Filter::default() }));
        assert!(!is_found(Filter { version: some("2.11.0"), types: words("istio"), ..Filter::default() }));
        assert!(is_found(Filter { text: some("BERL"), ..Filter::default() }));
        assert!(!is_found(Filter { text: some("oslo"), ..Filter::default() }));
        let labels = |text: &str| Some(text.parse::<Selector>().unwrap());
        assert!(is_found(Filter { labels: labels("env in (prod,test)"), ..Filter::default() }));
        assert!(!is_found(Filter { labels: labels("env!=prod"), ..Filter::default() }));
    }

    #[test]
    fn tools_of_other_types_are_left_out() {
        let broken = row("berlin", "Failed", "ComponentNotReady", "");
        let shown = |name: &str| {
            let filter = Filter { types: vec![name.to_owned()], ..Filter::default() };
            filter.apply(broken.clone()).map(|row| row.tools.len())
        };
        assert_eq!([shown("istio"), shown("mesh"), shown("flux")], [Some(1), Some(1), None]);
    }

    #[test]
    fn phase_is_that_of_the_tool_where_a_type_is_given() {
        let broken = row("berlin", "Failed", "ComponentNotReady", "");
        let failed = |type_: &str| {
            let (types, phases) = (vec![type_.to_owned()], vec!["Failed".to_owned()]);
            Filter { types, phases, ..Filter::default() }.matches(&broken)
        };
        assert_eq!((failed("argocd"), failed("istio")), (true, false));
    }
}
