//! `ksit history`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use serde::Serialize;

use super::clusters::targets;
use super::hub::HubFlags;
use super::output::print;
use super::table::table;
use super::{CliError, duration, json};
use crate::api::IntegrationTarget;
use crate::domain::escape::escape_lines;
use crate::history::{ChangeRow, Reader, Selection};

/// The most changes that are printed.
const MAX_CHANGES: usize = 10_000;

/// Show when clusters and tools changed their phase, newest first.
///
/// Without --file these are the last 20 changes of each cluster, which stand in its status.
///
/// Examples:
///   ksit history berlin --since 24h
///   ksit history --type argocd -o csv
///   ksit history --file history.db --since 30d
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Name of an IntegrationTarget; default: all.
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Changes of this type of tool.
    #[arg(long = "type", value_name = "TYPE")]
    type_: Option<String>,
    /// Changes of this time until now, such as 24h or 7d.
    #[arg(long, default_value = "7d", value_parser = days_or_duration, value_name = "DURATION")]
    since: Duration,
    /// Read the file of `ksit ui --history` in place of the hub.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Output format: table, json or csv.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Clusters of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    #[command(flatten)]
    hub: HubFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
    Csv,
}

/// A change as it is printed.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    time: String,
    namespace: String,
    cluster: String,
    /// Empty for the cluster itself.
    integration: String,
    phase: String,
    reason: String,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let since = Timestamp::now() - SignedDuration::try_from(args.since).map_err(|error| error.to_string())?;
    let lines = match &args.file {
        Some(file) => {
            let namespaces = args.hub.namespace.iter().cloned().collect();
            let selection = Selection { namespaces, cluster: args.target.clone(), type_: args.type_.clone() };
            let reader = Reader::open(file).map_err(|error| format!("--file: {error}"))?;
            let found = reader.changes(&selection, since.as_millisecond(), MAX_CHANGES);
            found.map_err(|error| format!("--file: {error}"))?.into_iter().map(Line::from).collect()
        }
        None => {
            let hub = args.hub.hub().await?;
            let all = targets(&hub, args.all_namespaces, None).await?;
            let is_meant =
                |target: &&IntegrationTarget| args.target.as_ref().is_none_or(|name| *name == target.name_any());
            let meant: Vec<&IntegrationTarget> = all.iter().filter(is_meant).collect();
            if let (Some(name), true) = (&args.target, meant.is_empty()) {
                return Err(format!("there is no IntegrationTarget {name}: `ksit clusters` lists them").into());
            }
            of_statuses(&meant, args.type_.as_deref(), since)
        }
    };
    print(&render(&lines, args.output)?)?;
    Ok(ExitCode::SUCCESS)
}

/// The changes in the statuses, newest first.
fn of_statuses(targets: &[&IntegrationTarget], type_: Option<&str>, since: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    for target in targets {
        let Some(status) = &target.status else { continue };
        let has_type = |name: &str| {
            type_.is_none_or(|type_| status.integrations.iter().any(|tool| tool.name == name && tool.type_ == type_))
        };
        for record in &status.history {
            let integration = record.integration.clone().unwrap_or_default();
            let is_recent = record.time.parse::<Timestamp>().is_ok_and(|time| time >= since);
            if is_recent && has_type(&integration) {
                lines.push(Line {
                    time: record.time.clone(),
                    namespace: target.namespace().unwrap_or_default(),
                    cluster: target.name_any(),
                    integration,
                    phase: record.to.clone(),
                    reason: record.reason.clone(),
                });
            }
        }
    }
    lines.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.cluster.cmp(&b.cluster)));
    lines
}

impl From<ChangeRow> for Line {
    fn from(row: ChangeRow) -> Self {
        let ChangeRow { at, namespace, cluster, integration, type_: _, phase, reason } = row;
        let time = Timestamp::from_millisecond(at).map(|time| time.to_string()).unwrap_or_default();
        Self { time, namespace, cluster, integration, phase, reason }
    }
}

fn render(lines: &[Line], output: Output) -> Result<String, CliError> {
    let cells = |line: &Line| {
        let Line { time, namespace, cluster, integration, phase, reason } = line;
        [time, namespace, cluster, integration, phase, reason].map(Clone::clone).to_vec()
    };
    Ok(match output {
        Output::Json => json(&lines)?,
        Output::Csv => {
            let rows =
                lines.iter().map(cells).map(|row| row.iter().map(|cell| csv(cell)).collect::<Vec<_>>().join(","));
            let head = "time,namespace,cluster,integration,phase,reason".to_owned();
            escape_lines(&std::iter::once(head).chain(rows).map(|row| row + "\n").collect::<String>()).into_owned()
        }
        Output::Table if lines.is_empty() => "no phase has changed in this time\n".to_owned(),
        Output::Table => {
            let heads = ["TIME", "NAMESPACE", "CLUSTER", "INTEGRATION", "PHASE", "REASON"];
            escape_lines(&table(&heads, &lines.iter().map(cells).collect::<Vec<_>>())).into_owned()
        }
    })
}

/// A field of CSV (RFC 4180). A spreadsheet would run one that begins like a formula.
fn csv(cell: &str) -> String {
    let safe = if cell.starts_with(['=', '+', '-', '@']) { format!("'{cell}") } else { cell.to_owned() };
    if safe.contains([',', '"', '\n', '\r']) { format!("\"{}\"", safe.replace('"', "\"\"")) } else { safe }
}

/// Parses a Go duration or a number of days such as `7d`.
pub(super) fn days_or_duration(text: &str) -> Result<Duration, String> {
    match text.strip_suffix('d').and_then(|days| days.parse::<u32>().ok()) {
        Some(days @ 1..=3_650) => Ok(Duration::from_secs(u64::from(days) * 86_400)),
        Some(_) => Err("use at most 3650d".to_owned()),
        None => duration(text).map_err(|_| "write it as 7d, 24h or 30m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn changes_of_statuses_are_filtered_and_newest_first() {
        let target: IntegrationTarget = serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1",
            "kind": "IntegrationTarget", "metadata": {"name": "berlin", "namespace": "fleet"},
            "spec": {"clusterName": "b"}, "status": {
                "integrations": [{"name": "gitops", "type": "argocd", "phase": "Failed", "reason": "R"}],
                "history": [
                    {"time": "2026-01-01T00:00:00Z", "integration": "gitops", "from": "Running", "to": "Failed", "reason": "Old"},
                    {"time": "2026-01-02T00:00:00Z", "integration": "gitops", "from": "Failed", "to": "Running", "reason": "R"},
                    {"time": "2026-01-03T00:00:00Z", "integration": "gitops", "from": "Running", "to": "Failed", "reason": "a,\"b"},
                    {"time": "2026-01-03T00:00:00Z", "from": "Running", "to": "Failed", "reason": "R"}]}}))
        .unwrap();
        let since = "2026-01-01T12:00:00Z".parse().unwrap();
        let lines = of_statuses(&[&target], Some("argocd"), since);
        let text = render(&lines, Output::Csv).unwrap();
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows[0], "time,namespace,cluster,integration,phase,reason");
        assert_eq!(rows[1], "2026-01-03T00:00:00Z,fleet,berlin,gitops,Failed,\"a,\"\"b\"");
        assert_eq!(rows.len(), 3);
        assert_eq!(of_statuses(&[&target], None, since).len(), 3);
    }

    #[test]
    fn formula_in_csv_is_text() {
        assert_eq!(csv("=cmd()"), "'=cmd()");
    }

    #[test]
    fn durations_may_be_days() {
        assert_eq!(days_or_duration("2d").unwrap(), Duration::from_secs(172_800));
        assert_eq!(days_or_duration("30m").unwrap(), Duration::from_secs(1_800));
        assert!(days_or_duration("0d").is_err() && days_or_duration("soon").is_err());
    }
}
