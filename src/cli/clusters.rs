//! `ksit clusters`

use std::collections::BTreeSet;
use std::process::ExitCode;

use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde::Serialize;

use super::CliError;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::api::{IntegrationResult, IntegrationTarget};
use crate::domain::verdict::Phase;
use crate::hub::Lenient;

/// Show all clusters with the state of every tool on them, worst first.
///
/// Examples:
///   ksit clusters -l env=prod
///   ksit clusters --phase Failed,Degraded -o wide
///   ksit clusters --type argocd --version 2.11.0
///   ksit clusters --reason CrashLoopBackOff -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, disable_version_flag = true)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// List all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    filter: Filter,
}

/// Selects clusters; one has to meet all conditions that are given.
#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Clusters with these labels, such as env=prod,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// Clusters in one of these phases.
    #[arg(long, value_delimiter = ',', value_name = "PHASES")]
    phase: Vec<String>,
    /// Show these types of tools only, and the clusters that have one.
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPES")]
    types: Vec<String>,
    /// Clusters of which a condition, or a tool on them, has this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Clusters on which a tool has this version.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let look = async |hub: Hub| {
        let all = targets(&hub, args.all_namespaces, args.filter.selector.as_deref()).await?;
        let mut lines: Vec<Line> = all.into_iter().map(Line::from).filter_map(|line| args.filter.apply(line)).collect();
        lines.sort_by(|a, b| (rank(&a.phase), &a.namespace, &a.name).cmp(&(rank(&b.phase), &b.namespace, &b.name)));
        Ok(Clusters(lines))
    };
    args.hub.show(look).await?;
    Ok(ExitCode::SUCCESS)
}

/// The IntegrationTargets with these labels, in one namespace or all. Unreadable ones are left out.
pub(super) async fn targets(
    hub: &Hub,
    all_namespaces: bool,
    selector: Option<&str>,
) -> Result<Vec<IntegrationTarget>, CliError> {
    let api: Api<Lenient<IntegrationTarget>> = hub.api(all_namespaces);
    let params = selector.map_or_else(ListParams::default, |selector| ListParams::default().labels(selector));
    let found = api.list(&params).await.map_err(|error| hub.fault(&error))?;
    let read = |item| match item {
        Lenient::Read(target) => Some(*target),
        Lenient::Unreadable { .. } => None,
    };
    Ok(found.items.into_iter().filter_map(read).collect())
}

/// Worst phases first.
fn rank(phase: &str) -> Phase {
    Phase::read(phase).unwrap_or(Phase::Initializing)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Clusters(Vec<Line>);

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    name: String,
    phase: String,
    reachable: Option<bool>,
    since: Option<String>,
    message: Option<String>,
    /// Reasons of the conditions.
    #[serde(skip)]
    reasons: BTreeSet<String>,
    tools: Vec<Tool>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Tool {
    integration: String,
    #[serde(rename = "type")]
    type_: String,
    phase: String,
    reason: String,
    version: Option<String>,
    message: Option<String>,
}

impl From<IntegrationTarget> for Line {
    fn from(target: IntegrationTarget) -> Self {
        let (namespace, name) = (target.namespace().unwrap_or_default(), target.name_any());
        let status = target.status.unwrap_or_default();
        Self {
            namespace,
            name,
            phase: status.phase.unwrap_or_default(),
            reachable: status.ready,
            since: status.last_transition_time,
            message: status.message,
            reasons: status.conditions.into_iter().map(|condition| condition.reason).collect(),
            tools: status.integrations.into_iter().map(Tool::from).collect(),
        }
    }
}

impl From<IntegrationResult> for Tool {
    fn from(result: IntegrationResult) -> Self {
        let IntegrationResult { name, type_, phase, reason, message, version, .. } = result;
        Self { integration: name, type_, phase, reason, version, message }
    }
}

impl Filter {
    /// The line with the tools that are asked for; `None` if the cluster does not meet a condition.
    fn apply(&self, mut line: Line) -> Option<Line> {
        if !self.types.is_empty() {
            line.tools.retain(|tool| self.types.contains(&tool.type_));
        }
        let is_met = (self.types.is_empty() || !line.tools.is_empty())
            && (self.phase.is_empty() || self.phase.iter().any(|phase| phase.eq_ignore_ascii_case(&line.phase)))
            && self.reason.as_ref().is_none_or(|reason| {
                line.reasons.contains(reason)
                    || line.tools.iter().any(|tool| tool.reason == *reason || mentions(tool, reason))
            })
            && self
                .version
                .as_ref()
                .is_none_or(|version| line.tools.iter().any(|tool| tool.version.as_ref() == Some(version)));
        is_met.then_some(line)
    }
}

/// The reason of a Pod stands in the message about its tool.
fn mentions(tool: &Tool, reason: &str) -> bool {
    let words = |message: &String| message.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == reason);
    tool.message.as_ref().is_some_and(words)
}

impl Shown for Clusters {
    /// A column for each Integration; `wide` adds versions and the message.
    fn text(&self, wide: bool) -> String {
        let integrations: BTreeSet<&str> =
            self.0.iter().flat_map(|line| &line.tools).map(|tool| tool.integration.as_str()).collect();
        let heads: Vec<String> = integrations.iter().map(|name| name.to_uppercase()).collect();
        let mut columns = vec!["NAMESPACE", "CLUSTER", "PHASE"];
        columns.extend(heads.iter().map(String::as_str));
        columns.extend(wide.then_some("SINCE"));
        columns.extend(wide.then_some("MESSAGE"));
        let cell = |line: &Line, name: &str| match line.tools.iter().find(|tool| tool.integration == name) {
            None => "-".to_owned(),
            Some(Tool { phase, version: Some(version), .. }) if wide => format!("{phase} {version}"),
            Some(tool) => tool.phase.clone(),
        };
        let row = |line: &Line| {
            let mut cells = vec![line.namespace.clone(), line.name.clone(), line.phase.clone()];
            cells.extend(integrations.iter().map(|name| cell(line, name)));
            if wide {
                cells.extend([&line.since, &line.message].map(|text| text.clone().unwrap_or_default()));
            }
            cells
        };
        table(&columns, &self.0.iter().map(row).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(name: &str, phase: &str, reason: &str, message: &str) -> Line {
        let target = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": name, "namespace": "fleet"}, "spec": {"clusterName": name},
            "status": {"phase": phase, "ready": true, "integrations": [
                {"name": "argocd", "type": "argocd", "phase": phase, "reason": reason, "version": "2.11.0", "message": message},
                {"name": "mesh", "type": "istio", "phase": "Running", "reason": "Healthy"}]}});
        Line::from(serde_json::from_value::<IntegrationTarget>(target).unwrap())
    }

    #[test]
    fn clusters_are_a_matrix_of_their_tools() {
        let lines = vec![
            line("berlin", "Failed", "ComponentNotReady", "web is not ready"),
            line("oslo", "Running", "Healthy", ""),
        ];
        let text = Clusters(lines).text(false);
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["NAMESPACE", "CLUSTER", "PHASE", "ARGOCD", "MESH"]);
        assert_eq!(words[1], ["fleet", "berlin", "Failed", "Failed", "Running"]);
    }

    #[test]
    fn filter_selects_by_phase_type_reason_and_version() {
        let broken =
            || line("berlin", "Failed", "ComponentNotReady", "Deployment web: CrashLoopBackOff in container app");
        let is_found = |filter: Filter| filter.apply(broken()).is_some();
        let words = |words: &str| vec![words.to_owned()];
        assert!(is_found(Filter { phase: words("failed"), ..Filter::default() }));
        assert!(!is_found(Filter { phase: words("Running"), ..Filter::default() }));
        assert!(!is_found(Filter { types: words("flux"), ..Filter::default() }));
        assert!(is_found(Filter { reason: Some("ComponentNotReady".to_owned()), ..Filter::default() }));
        assert!(is_found(Filter { reason: Some("CrashLoopBackOff".to_owned()), ..Filter::default() }));
        assert!(!is_found(Filter { reason: Some("Crash".to_owned()), ..Filter::default() }));
        assert!(is_found(Filter { version: Some("2.11.0".to_owned()), ..Filter::default() }));
        let only = Filter { types: words("istio"), ..Filter::default() }.apply(broken()).unwrap();
        assert_eq!(only.tools.len(), 1, "columns of other types are left out");
    }
}
