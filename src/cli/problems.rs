//! `ksit problems`

use std::collections::BTreeMap;
use std::process::ExitCode;

use kube::ResourceExt;
use serde::Serialize;

use super::CliError;
use super::clusters::targets;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::api::IntegrationTarget;
use crate::domain::verdict::Phase;

/// Clusters that the table names for each cause; `-o wide` and the other formats name all.
const MAX_NAMES: usize = 5;

/// Show what is wrong in the fleet, grouped by cause: the cause with the most clusters first.
///
/// Exits with 0 if nothing is wrong, else 1.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// Look at all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Clusters with these labels, such as env=prod.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let look = async |hub: Hub| {
        let all = targets(&hub, args.all_namespaces, args.selector.as_deref()).await?;
        Ok(Problems::of(&all))
    };
    let problems = args.hub.show(look).await?;
    Ok(if problems.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Problems(Vec<Problem>);

/// Clusters with the same fault.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem {
    phase: String,
    /// Type of the tool; absent if the clusters themselves can't be read.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    type_: Option<String>,
    reason: String,
    /// Time of the latest.
    since: Option<String>,
    clusters: Vec<String>,
    /// The message of the first cluster.
    example: String,
}

/// Phase, type of the tool, and reason.
type Cause = (String, Option<String>, String);

impl Problems {
    fn of(targets: &[IntegrationTarget]) -> Self {
        let mut all: BTreeMap<Cause, Problem> = BTreeMap::new();
        let mut add = |target: &IntegrationTarget, cause: Cause, since: Option<&String>, message: &str| {
            let name = format!("{}/{}", target.namespace().unwrap_or_default(), target.name_any());
            let (phase, type_, reason) = cause.clone();
            let problem = all.entry(cause).or_insert_with(|| Problem {
                phase,
                type_,
                reason,
                since: None,
                clusters: Vec::new(),
                example: message.to_owned(),
            });
            problem.since = problem.since.take().max(since.cloned());
            problem.clusters.push(name);
        };
        for target in targets {
            let Some(status) = &target.status else { continue };
            let reachable = status.condition("Reachable").filter(|condition| condition.status == "False");
            if let Some(condition) = reachable {
                let cause = ("Failed".to_owned(), None, condition.reason.clone());
                add(target, cause, status.last_transition_time.as_ref(), &condition.message);
                continue;
            }
            for tool in status.integrations.iter().filter(|tool| is_problem(&tool.phase)) {
                let cause = (tool.phase.clone(), Some(tool.type_.clone()), tool.reason.clone());
                add(target, cause, tool.last_transition_time.as_ref(), tool.message.as_deref().unwrap_or_default());
            }
        }
        let mut all: Vec<Problem> = all.into_values().collect();
        all.sort_by_key(|problem| (std::cmp::Reverse(problem.clusters.len()), problem.reason.clone()));
        Self(all)
    }
}

fn is_problem(phase: &str) -> bool {
    matches!(Phase::read(phase), Some(Phase::Failed | Phase::Degraded | Phase::Unknown))
}

impl Shown for Problems {
    fn text(&self, wide: bool) -> String {
        if self.0.is_empty() {
            return "nothing is wrong\n".to_owned();
        }
        let row = |problem: &Problem| {
            let shown = if wide { problem.clusters.len() } else { MAX_NAMES };
            let mut names: Vec<&str> = problem.clusters.iter().take(shown).map(String::as_str).collect();
            names.extend((problem.clusters.len() > shown).then_some("…"));
            vec![
                problem.clusters.len().to_string(),
                problem.phase.clone(),
                problem.type_.clone().unwrap_or_else(|| "-".to_owned()),
                problem.reason.clone(),
                problem.since.clone().unwrap_or_default(),
                names.join(","),
                problem.example.clone(),
            ]
        };
        let heads = ["CLUSTERS", "PHASE", "TYPE", "REASON", "LATEST", "NAMES", "EXAMPLE"];
        table(&heads, &self.0.iter().map(row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(name: &str, reachable: &str, reason: &str, phase: &str) -> IntegrationTarget {
        serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": name, "namespace": "fleet"}, "spec": {"clusterName": name},
            "status": {"phase": phase, "conditions": [{"type": "Reachable", "status": reachable, "reason": reason,
                "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "integrations": [{"name": "argocd", "type": "argocd", "phase": phase, "reason": "ComponentAbsent"}]}}))
        .unwrap()
    }

    #[test]
    fn clusters_are_grouped_by_cause_most_first() {
        let targets = [
            target("a", "False", "ConnectFailed", "Failed"),
            target("b", "True", "Connected", "Failed"),
            target("c", "True", "Connected", "Failed"),
            target("d", "True", "Connected", "Running"),
        ];
        let Problems(found) = Problems::of(&targets);
        let brief: Vec<(&str, usize)> =
            found.iter().map(|problem| (problem.reason.as_str(), problem.clusters.len())).collect();
        assert_eq!(brief, [("ComponentAbsent", 2), ("ConnectFailed", 1)]);
        assert_eq!(found[1].type_, None, "a cluster that can't be read is one problem, not one for each tool");
        assert_eq!(Problems::of(&targets[3..]).text(false), "nothing is wrong\n");
    }
}
