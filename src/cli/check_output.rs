//! Renders the results of `ksit check`.

use std::collections::BTreeSet;

use serde_json::json as object;

use super::table::table;
use super::{CliError, json};
use crate::domain::escape::escape;
use crate::domain::managed::{Counts, FailingObject, ResourceSummary};
use crate::domain::reason::Reason;
use crate::domain::verdict::{Observation, Phase, ToolVerdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    Table,
    Wide,
    Json,
}

/// One tool on one cluster.
pub(super) struct Row {
    pub(super) context: String,
    /// `None`: the cluster can't be reached.
    pub(super) tool: Option<String>,
    pub(super) verdict: ToolVerdict,
}

pub(super) fn render(rows: &[Row], format: Format) -> Result<String, CliError> {
    if format == Format::Json {
        return json(&rows.iter().map(as_json).collect::<Vec<_>>());
    }
    let (absent, shown): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| row.verdict.reason == Reason::NotInstalled);
    let contexts: BTreeSet<&str> = rows.iter().map(|row| row.context.as_str()).collect();
    let mut text = String::new();
    if format == Format::Table && contexts.len() > 1 {
        text.push_str(&matrix(&shown, &contexts));
        let unhealthy: Vec<Vec<String>> =
            shown.iter().filter(|row| row.verdict.phase != Phase::Running).map(|row| cells(row)).collect();
        if !unhealthy.is_empty() {
            text.push('\n');
            text.push_str(&table(&HEADS, &unhealthy));
        }
        return Ok(text);
    }
    let mut lines: Vec<Vec<String>> = Vec::new();
    for row in &shown {
        lines.push(cells(row));
        if format == Format::Wide {
            lines.extend(row.verdict.observations.iter().map(component_cells));
            lines.extend(row.verdict.resources.iter().flat_map(failing_cells));
        }
    }
    text.push_str(&table(&HEADS, &lines));
    for context in contexts {
        let names = absent.iter().filter(|row| row.context == context).filter_map(|row| row.tool.as_deref());
        let names: Vec<&str> = names.collect();
        if !names.is_empty() {
            text.push_str(&format!("{}: not installed: {}\n", escape(context), names.join(", ")));
        }
    }
    Ok(text)
}

const HEADS: [&str; 4] = ["CONTEXT", "TOOL", "PHASE", "MESSAGE"];

/// A row for each cluster, and a column for each tool that any of them has.
fn matrix(rows: &[&Row], contexts: &BTreeSet<&str>) -> String {
    let tools: Vec<&str> =
        rows.iter().filter_map(|row| row.tool.as_deref()).collect::<BTreeSet<_>>().into_iter().collect();
    let line = |context: &&str| {
        let on = |tool: Option<&str>| rows.iter().find(|row| row.context == *context && row.tool.as_deref() == tool);
        let phase = |tool: &&str| match (on(Some(tool)), on(None)) {
            (Some(row), _) => row.verdict.phase.as_str().to_owned(),
            (None, Some(_)) => "?".to_owned(),
            (None, None) => "-".to_owned(),
        };
        std::iter::once((*context).to_owned()).chain(tools.iter().map(phase)).collect()
    };
    let heads: Vec<String> = std::iter::once("context").chain(tools.iter().copied()).map(str::to_uppercase).collect();
    let heads: Vec<&str> = heads.iter().map(String::as_str).collect();
    table(&heads, &contexts.iter().map(line).collect::<Vec<Vec<String>>>())
}

fn cells(row: &Row) -> Vec<String> {
    let ToolVerdict { phase, reason, message, version, .. } = &row.verdict;
    let message = if *phase == Phase::Running { message.clone() } else { format!("{reason}: {message}") };
    let message = version.as_ref().map_or(message.clone(), |version| format!("{message} ({version})"));
    let failing = row.verdict.resources.iter().filter(|summary| summary.counts.failing > 0);
    let failing = failing
        .map(|ResourceSummary { kind, counts, .. }| format!("; {} of {} {kind} failing", counts.failing, counts.total));
    let message = message + &failing.collect::<String>();
    let tool = row.tool.clone().unwrap_or_else(|| "-".to_owned());
    vec![row.context.clone(), tool, phase.as_str().to_owned(), message]
}

fn component_cells(seen: &Observation) -> Vec<String> {
    let ready = match (seen.ready, seen.desired) {
        (Some(ready), Some(desired)) => format!("{ready}/{desired}"),
        (Some(ready), None) => ready.to_string(),
        _ => String::new(),
    };
    let note = [Some(ready).filter(|ready| !ready.is_empty()), seen.message.clone()];
    let note: Vec<String> = note.into_iter().flatten().collect();
    vec![String::new(), format!("  {} {}", seen.kind, seen.name), seen.state.as_str().to_owned(), note.join(", ")]
}

/// Managed objects of a kind that fail.
fn failing_cells(summary: &ResourceSummary) -> Vec<Vec<String>> {
    let row = |object: &FailingObject| {
        let place = format!("  {} {}", summary.kind, object.place());
        vec![String::new(), place, "Failing".to_owned(), object.reason.clone().unwrap_or_default()]
    };
    summary.counts.worst.iter().map(row).collect()
}

fn as_json(row: &Row) -> serde_json::Value {
    let components: Vec<_> = row
        .verdict
        .observations
        .iter()
        .map(|seen| {
            object!({ "kind": seen.kind.as_str(), "namespace": seen.namespace, "name": seen.name,
                "state": seen.state.as_str(), "ready": seen.ready, "desired": seen.desired, "message": seen.message })
        })
        .collect();
    object!({ "context": row.context, "type": row.tool, "phase": row.verdict.phase.as_str(),
        "reason": row.verdict.reason.as_str(), "message": row.verdict.message, "version": row.verdict.version,
        "components": components, "resources": row.verdict.resources.iter().map(resources).collect::<Vec<_>>() })
}

fn resources(summary: &ResourceSummary) -> serde_json::Value {
    let ResourceSummary { kind, counts, message } = summary;
    let Counts { total, progressing, suspended, failing, unknown, worst } = counts;
    let worst: Vec<_> = worst
        .iter()
        .map(|FailingObject { namespace, name, reason, since }| {
            object!({ "namespace": namespace, "name": name, "reason": reason,
                "since": since.map(|since| since.to_string()) })
        })
        .collect();
    object!({ "kind": kind, "total": total, "failing": failing, "progressing": progressing, "suspended": suspended,
        "unknown": unknown, "worst": worst, "message": message })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::table::assert_harmless;
    use crate::domain::component::ComponentKind;
    use crate::domain::reason::Reason;
    use crate::domain::verdict::ComponentState;

    proptest! {
        #[test]
        fn check_shows_any_cluster_harmlessly(context: String, name: String, message: String) {
            let seen = Observation {
                kind: ComponentKind::Deployment.into(),
                namespace: name.clone(),
                name: name.clone(),
                state: ComponentState::NotReady,
                ready: None,
                desired: None,
                since: None,
                message: Some(message.clone()),
            };
            let verdict = ToolVerdict {
                phase: Phase::Failed,
                reason: Reason::ComponentNotReady,
                message,
                observations: vec![seen],
                version: None,
                resources: vec![ResourceSummary {
                    kind: "Application".to_owned(),
                    counts: Counts {
                        failing: 1,
                        worst: vec![FailingObject {
                            namespace: name.clone(),
                            name: name.clone(),
                            reason: Some(name.clone()),
                            since: None,
                        }],
                        ..Counts::default()
                    },
                    message: Some(name.clone()),
                }],
            };
            let rows = [Row { context, tool: Some("flux".to_owned()), verdict }];
            for format in [Format::Table, Format::Wide, Format::Json] {
                assert_harmless(&render(&rows, format).unwrap());
            }
        }
    }

    fn row(context: &str, tool: Option<&str>, phase: Phase, reason: Reason) -> Row {
        let verdict = ToolVerdict::without_observations(phase, reason, "m");
        Row { context: context.to_owned(), tool: tool.map(str::to_owned), verdict }
    }

    #[test]
    fn failing_managed_objects_are_counted_and_named() {
        let object = FailingObject {
            namespace: "team".to_owned(),
            name: "web".to_owned(),
            reason: Some("SyncFailed".to_owned()),
            since: None,
        };
        let counts = Counts { total: 30, failing: 1, worst: vec![object], ..Counts::default() };
        let mut argocd = row("a", Some("argocd"), Phase::Running, Reason::Healthy);
        argocd.verdict.resources = vec![ResourceSummary { kind: "Application".to_owned(), counts, message: None }];
        let text = render(&[argocd], Format::Wide).unwrap();
        for part in ["m; 1 of 30 Application failing", "Application team/web", "SyncFailed"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn version_stands_behind_the_message() {
        let mut flux = row("a", Some("flux"), Phase::Running, Reason::Healthy);
        flux.verdict.version = Some("2.4.0".to_owned());
        let text = render(&[flux], Format::Table).unwrap();
        assert!(text.ends_with("m (2.4.0)\n"), "{text}");
    }

    #[test]
    fn absent_tools_are_one_line_and_an_unreachable_cluster_is_one_row() {
        let rows = [
            row("a", Some("flux"), Phase::Running, Reason::Healthy),
            row("a", Some("istio"), Phase::NotInstalled, Reason::NotInstalled),
            row("a", Some("vault"), Phase::NotInstalled, Reason::NotInstalled),
            row("a", Some("prometheus"), Phase::NotInstalled, Reason::AccessoriesOnly),
        ];
        let text = render(&rows, Format::Table).unwrap();
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[1][..3], ["a", "flux", "Running"]);
        assert_eq!(words[2][..3], ["a", "prometheus", "NotInstalled"]);
        assert_eq!(text.lines().last(), Some("a: not installed: istio, vault"));

        let rows = [
            row("a", Some("flux"), Phase::Failed, Reason::ComponentAbsent),
            row("b", None, Phase::Unknown, Reason::ConnectFailed),
            row("c", Some("flux"), Phase::NotInstalled, Reason::NotInstalled),
        ];
        let text = render(&rows, Format::Table).unwrap();
        let words: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[..4], [vec!["CONTEXT", "FLUX"], vec!["a", "Failed"], vec!["b", "?"], vec!["c", "-"]]);
        assert_eq!(words[7][..4], ["b", "-", "Unknown", "ConnectFailed:"]);
    }
}
