//! Everything that is wrong, by cause.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::Serialize;

use super::clusters::ClusterRow;
use crate::domain::verdict::Phase;

/// A fault that clusters have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// `Failed`, `Unknown` or `Degraded`.
    pub phase: String,
    /// Type of the tool; absent if the clusters themselves can't be read.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<String>,
    /// The reason in the statuses.
    pub reason: String,
}

/// Clusters with the same fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The fault.
    #[serde(flatten)]
    pub cause: Cause,
    /// RFC 3339 time since which the first has it.
    pub first: Option<String>,
    /// RFC 3339 time since which the latest has it.
    pub since: Option<String>,
    /// `NAMESPACE/NAME` of the clusters.
    pub clusters: Vec<String>,
    /// The message of the first cluster.
    pub example: String,
}

impl Problem {
    fn add(&mut self, row: &ClusterRow, since: Option<&String>) {
        self.first = [self.first.take(), since.cloned()].into_iter().flatten().min();
        self.since = self.since.take().max(since.cloned());
        self.clusters.push(format!("{}/{}", row.namespace, row.name));
    }
}

/// Groups what is wrong by cause: the cause with the most clusters first. A cluster that can't be read is one problem,
/// not one for each tool.
pub fn problems<'a>(rows: impl IntoIterator<Item = &'a ClusterRow>) -> Vec<Problem> {
    let mut all: BTreeMap<Cause, Problem> = BTreeMap::new();
    let mut add = |row: &ClusterRow, cause: Cause, since: Option<&String>, message: Option<&String>| {
        let problem = all.entry(cause).or_insert_with_key(|cause| Problem {
            cause: cause.clone(),
            first: None,
            since: None,
            clusters: Vec::new(),
            example: message.cloned().unwrap_or_default(),
        });
        problem.add(row, since);
    };
    for row in rows {
        if let Some(reason) = &row.unreachable {
            let cause = Cause { phase: Phase::Failed.as_str().to_owned(), type_: None, reason: reason.clone() };
            add(row, cause, row.since.as_ref(), row.unreachable_message.as_ref());
            continue;
        }
        for tool in row.tools.iter().filter(|tool| is_problem(&tool.phase)) {
            let (phase, type_) = (tool.phase.clone(), Some(tool.type_.clone()));
            let cause = Cause { phase, type_, reason: tool.reason.clone() };
            add(row, cause, tool.since.as_ref(), tool.message.as_ref());
        }
    }
    let mut all: Vec<Problem> = all.into_values().collect();
    all.sort_by_key(|problem| (Reverse(problem.clusters.len()), problem.cause.reason.clone()));
    all
}

/// Whether somebody should look at it.
fn is_problem(phase: &str) -> bool {
    matches!(Phase::read(phase), Some(Phase::Failed | Phase::Degraded | Phase::Unknown))
}

#[cfg(test)]
mod tests {
    use super::super::clusters::tests::row;
    use super::*;

    #[test]
    fn clusters_are_grouped_by_cause_most_first() {
        let since = |name: &str, phase: &str, at: &str| {
            let mut row = row(name, phase, "ComponentAbsent", "");
            row.tools[0].since = Some(at.to_owned());
            row
        };
        let (reason, message) = (Some("ConnectFailed".to_owned()), Some("check its address".to_owned()));
        let unreachable =
            ClusterRow { unreachable: reason, unreachable_message: message, ..row("a", "Failed", "", "argocd: …") };
        let rows = [
            unreachable,
            since("b", "Failed", "2026-01-02T00:00:00Z"),
            since("c", "Failed", "2026-01-01T00:00:00Z"),
            row("d", "Running", "Healthy", ""),
        ];
        let found = problems(&rows);
        let brief: Vec<_> = found.iter().map(|found| (found.cause.reason.as_str(), found.clusters.len())).collect();
        assert_eq!(brief, [("ComponentAbsent", 2), ("ConnectFailed", 1)]);
        assert_eq!(found[0].first.as_deref(), Some("2026-01-01T00:00:00Z"));
        assert_eq!(found[0].since.as_deref(), Some("2026-01-02T00:00:00Z"));
        assert_eq!(found[1].example, "check its address");
        assert_eq!(found[1].cause.type_, None, "a cluster that can't be read is one problem, not one for each tool");
        assert_eq!(problems(&rows[3..]), []);
    }
}
