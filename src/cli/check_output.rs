//! How `ksit check` shows what it found.

use serde_json::json;

use super::CliError;
use super::table::table;
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
    pub(super) tool: &'static str,
    pub(super) verdict: ToolVerdict,
    pub(super) unreachable: bool,
}

pub(super) fn render(rows: &[Row], format: Format) -> Result<String, CliError> {
    Ok(match format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&rows.iter().map(as_json).collect::<Vec<_>>())?),
        Format::Table => table(&["CONTEXT", "TOOL", "PHASE", "MESSAGE"], &rows.iter().map(cells).collect::<Vec<_>>()),
        Format::Wide => {
            let mut lines: Vec<Vec<String>> = Vec::new();
            for row in rows {
                lines.push(cells(row));
                lines.extend(row.verdict.observations.iter().map(component_cells));
            }
            table(&["CONTEXT", "TOOL", "PHASE", "MESSAGE"], &lines)
        }
    })
}

fn cells(row: &Row) -> Vec<String> {
    let ToolVerdict { phase, reason, message, .. } = &row.verdict;
    let message = if *phase == Phase::Running { message.clone() } else { format!("{reason}: {message}") };
    vec![row.context.clone(), row.tool.to_owned(), phase.as_str().to_owned(), message]
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

fn as_json(row: &Row) -> serde_json::Value {
    let components: Vec<_> = row
        .verdict
        .observations
        .iter()
        .map(|seen| {
            json!({ "kind": seen.kind.as_str(), "namespace": seen.namespace, "name": seen.name,
                "state": seen.state.as_str(), "ready": seen.ready, "desired": seen.desired, "message": seen.message })
        })
        .collect();
    json!({ "context": row.context, "type": row.tool, "phase": row.verdict.phase.as_str(),
        "reason": row.verdict.reason.as_str(), "message": row.verdict.message, "components": components })
}
