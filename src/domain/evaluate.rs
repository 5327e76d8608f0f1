//! Evaluates the answers of a target to the verdict on one tool. All tools share this evaluator.

use super::component::{Component, ComponentKind};
use super::judge::{Finding, judge, namespace_is_missing};
use super::reason::Reason;
use super::snapshot::Snapshot;
use super::verdict::{ComponentState, Phase, ToolVerdict};

/// The phase of a cluster without any component of the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenAbsent {
    #[default]
    Failed,
    NotInstalled,
}

/// Upper bound of failing components named in a verdict's message; the observations have all.
const NAMED_IN_MESSAGE: usize = 3;

/// The verdict on one tool from one round's answers.
pub fn evaluate(components: &[Component], snapshot: &Snapshot, when_absent: WhenAbsent) -> ToolVerdict {
    let findings: Vec<Finding> = components.iter().map(|component| judge(component, snapshot)).collect();
    if when_absent == WhenAbsent::NotInstalled && all_absent(&findings) {
        return ToolVerdict::without_observations(
            Phase::NotInstalled,
            Reason::NotInstalled,
            "the cluster has none of its components",
        );
    }
    let used: Vec<&Finding> = findings.iter().filter(|finding| is_in_use(finding)).collect();
    let healthy = used.iter().filter(|finding| finding.fault.is_none()).count();
    let summary = format!("{healthy}/{} components healthy", used.len());
    let mut faults: Vec<&(Reason, String)> = findings.iter().filter_map(|finding| finding.fault.as_ref()).collect();
    faults.sort_by_key(|(reason, _)| severity(*reason));
    let (phase, reason, message) = match faults.first() {
        Some((Reason::NamespaceMissing, _)) => {
            (Phase::Failed, Reason::NamespaceMissing, missing_namespaces(components, snapshot))
        }
        Some((reason, _)) => (Phase::Failed, *reason, explain(&summary, &faults)),
        None => (Phase::Running, Reason::Healthy, with_notes(summary, &findings)),
    };
    ToolVerdict { phase, reason, message, observations: findings.into_iter().flat_map(|f| f.observations).collect() }
}

fn all_absent(findings: &[Finding]) -> bool {
    // CRDs outlive the tool that brought them: Helm leaves them behind.
    let objects = findings.iter().flat_map(|finding| &finding.observations);
    // A component that may not be read might exist: 403 is never "not installed".
    objects
        .filter(|observation| observation.kind != ComponentKind::Crd.into())
        .all(|observation| observation.state == ComponentState::Absent)
}

fn is_in_use(finding: &Finding) -> bool {
    finding.fault.is_some() || finding.observations.iter().any(|observation| observation.state.is_healthy())
}

fn severity(reason: Reason) -> u8 {
    match reason {
        Reason::NamespaceMissing => 0,
        Reason::ComponentAbsent => 1,
        Reason::ComponentNotReady => 2,
        _ => 3,
    }
}

fn missing_namespaces(components: &[Component], snapshot: &Snapshot) -> String {
    let mut names: Vec<&str> = components
        .iter()
        .map(|component| component.namespace.as_str())
        .filter(|namespace| namespace_is_missing(namespace, snapshot))
        .collect();
    names.sort_unstable();
    names.dedup();
    format!(
        "namespace {} does not exist; install the tool, or set config.namespace to where it is",
        names.join(" and ")
    )
}

fn explain(summary: &str, faults: &[&(Reason, String)]) -> String {
    let named: Vec<&str> = faults.iter().take(NAMED_IN_MESSAGE).map(|(_, message)| message.as_str()).collect();
    let more = match faults.len().saturating_sub(NAMED_IN_MESSAGE) {
        0 => String::new(),
        n => format!("; and {n} more"),
    };
    format!("{summary}: {}{more}", named.join("; "))
}

fn with_notes(summary: String, findings: &[Finding]) -> String {
    let notes: Vec<String> = findings
        .iter()
        .flat_map(|finding| &finding.observations)
        .filter(|observation| matches!(observation.state, ComponentState::Progressing | ComponentState::NotSeen))
        .filter_map(|observation| {
            observation.message.as_ref().map(|note| format!("{} {}: {note}", observation.kind, observation.name))
        })
        .take(NAMED_IN_MESSAGE)
        .collect();
    if notes.is_empty() { summary } else { format!("{summary}; {}", notes.join("; ")) }
}

#[cfg(test)]
#[path = "evaluate_tests.rs"]
mod tests;
