//! `ksit resources`

use std::process::ExitCode;

use kube::ResourceExt;
use serde::Serialize;

use super::CliError;
use super::clusters::targets;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::api::{FailingObject, IntegrationResult, IntegrationTarget, ResourceCounts};

/// Show what the tools manage on all clusters, such as Applications: counted by state, or failing ones by name.
///
/// Examples:
///   ksit resources --kind Application -l env=prod
///   ksit resources --failing
///   ksit resources --failing --kind Certificate -o json
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// Look at all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Clusters with these labels, such as env=prod,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS")]
    selector: Option<String>,
    /// These kinds only, such as Application,Certificate.
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    kind: Vec<String>,
    /// Kinds of which some fail, with the names of failing objects: at most ten of a kind and cluster.
    #[arg(long)]
    failing: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let look = async |hub: Hub| {
        let all = targets(&hub, args.all_namespaces, args.selector.as_deref()).await?;
        let lines = all.iter().flat_map(lines).filter(|line| is_wanted(line, &args.kind, args.failing));
        let mut lines: Vec<Line> = lines.collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.counts.failing));
        Ok(Resources { lines, names_failing: args.failing })
    };
    args.hub.show(look).await?;
    Ok(ExitCode::SUCCESS)
}

fn is_wanted(line: &Line, kinds: &[String], failing: bool) -> bool {
    let is_kind = kinds.is_empty() || kinds.iter().any(|kind| kind.eq_ignore_ascii_case(&line.counts.kind));
    is_kind && (!failing || line.counts.failing > 0 || line.counts.unknown > 0)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Resources {
    lines: Vec<Line>,
    #[serde(skip)]
    names_failing: bool,
}

/// The managed objects of one kind on one cluster.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    cluster: String,
    integration: String,
    #[serde(flatten)]
    counts: ResourceCounts,
}

fn lines(target: &IntegrationTarget) -> Vec<Line> {
    let integrations = target.status.iter().flat_map(|status| &status.integrations);
    let of_tool = |tool: &IntegrationResult| {
        let line = |counts: &ResourceCounts| Line {
            namespace: target.namespace().unwrap_or_default(),
            cluster: target.name_any(),
            integration: tool.name.clone(),
            counts: counts.clone(),
        };
        tool.resources.iter().map(line).collect::<Vec<_>>()
    };
    integrations.flat_map(of_tool).collect()
}

impl Shown for Resources {
    fn text(&self, wide: bool) -> String {
        if self.lines.is_empty() {
            let nothing = if self.names_failing { "nothing fails" } else { "no managed objects found" };
            return format!("{nothing}; use -A for all namespaces\n");
        }
        if self.names_failing {
            let rows: Vec<Vec<String>> = self.lines.iter().flat_map(Line::failing).collect();
            return table(&["NAMESPACE", "CLUSTER", "KIND", "OBJECT", "REASON", "SINCE"], &rows);
        }
        let heads =
            ["NAMESPACE", "CLUSTER", "INTEGRATION", "KIND", "TOTAL", "FAILING", "PROGRESSING", "SUSPENDED", "UNKNOWN"];
        let rows: Vec<Vec<String>> = self.lines.iter().map(|line| line.counted(wide)).collect();
        if wide { table(&[&heads[..], &["MESSAGE"]].concat(), &rows) } else { table(&heads, &rows) }
    }
}

impl Line {
    fn counted(&self, wide: bool) -> Vec<String> {
        let ResourceCounts { kind, total, failing, progressing, suspended, unknown, worst: _, message } = &self.counts;
        let mut cells = vec![self.namespace.clone(), self.cluster.clone(), self.integration.clone(), kind.clone()];
        cells.extend([total, failing, progressing, suspended, unknown].map(u32::to_string));
        cells.extend(wide.then(|| message.clone().unwrap_or_default()));
        cells
    }

    /// A row for each failing object, and one for those without a name.
    fn failing(&self) -> Vec<Vec<String>> {
        let ResourceCounts { kind, failing, unknown, worst, .. } = &self.counts;
        let row = |object: String, reason: String, since: String| {
            vec![self.namespace.clone(), self.cluster.clone(), kind.clone(), object, reason, since]
        };
        let named = |object: &FailingObject| {
            row(object.place(), object.reason.clone().unwrap_or_default(), object.since.clone().unwrap_or_default())
        };
        let mut rows: Vec<Vec<String>> = worst.iter().map(named).collect();
        let all = failing.saturating_add(*unknown) as usize;
        if all > rows.len() {
            rows.push(row(format!("({} more)", all - rows.len()), String::new(), String::new()));
        }
        rows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cli::table::assert_harmless;

    fn target(kind: &str, failing: u32, name: &str) -> IntegrationTarget {
        serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": "c1", "namespace": "fleet"}, "spec": {"clusterName": "c1"},
            "status": {"integrations": [{"name": "argocd", "type": "argocd", "phase": "Running", "reason": "Healthy",
                "resources": [{"kind": kind, "total": 30, "failing": failing, "progressing": 1, "suspended": 0,
                    "worst": [{"namespace": "team", "name": name, "reason": "SyncFailed"}]}]}]}}))
        .unwrap()
    }

    fn shown(failing: u32, kinds: &[&str], names_failing: bool) -> String {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let all = lines(&target("Application", failing, "web")).into_iter();
        let lines = all.filter(|line| is_wanted(line, &kinds, names_failing)).collect();
        Resources { lines, names_failing }.text(false)
    }

    #[test]
    fn objects_are_counted_or_named() {
        let counted = shown(0, &["application"], false);
        let cells: Vec<&str> = counted.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells, ["fleet", "c1", "argocd", "Application", "30", "0", "1", "0", "0"]);
        assert!(shown(0, &["Certificate"], false).starts_with("no managed objects found"));
        let named = shown(12, &[], true);
        assert!(named.contains("team/web") && named.contains("SyncFailed") && named.contains("(11 more)"), "{named}");
        assert!(shown(0, &[], true).starts_with("nothing fails"));
    }

    proptest! {
        #[test]
        fn any_status_is_shown_harmlessly(kind: String, name: String, failing: u32) {
            let lines = lines(&target(&kind, failing, &name));
            for names_failing in [true, false] {
                let lines = lines.iter().map(|line| Line { counts: line.counts.clone(), namespace: name.clone(),
                    cluster: kind.clone(), integration: name.clone() }).collect();
                assert_harmless(&Resources { lines, names_failing }.text(true));
            }
        }
    }
}
