//! Renders the results of `ksit check`.

use serde_json::json as object;

use super::table::table;
use super::{CliError, json};
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
    pub(super) tool: String,
    pub(super) verdict: ToolVerdict,
    pub(super) unreachable: bool,
}

pub(super) fn render(rows: &[Row], format: Format) -> Result<String, CliError> {
    Ok(match format {
        Format::Json => json(&rows.iter().map(as_json).collect::<Vec<_>>())?,
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
    vec![row.context.clone(), row.tool.clone(), phase.as_str().to_owned(), message]
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
            object!({ "kind": seen.kind.as_str(), "namespace": seen.namespace, "name": seen.name,
                "state": seen.state.as_str(), "ready": seen.ready, "desired": seen.desired, "message": seen.message })
        })
        .collect();
    object!({ "context": row.context, "type": row.tool, "phase": row.verdict.phase.as_str(),
        "reason": row.verdict.reason.as_str(), "message": row.verdict.message, "components": components })
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
                name,
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
            };
            let rows = [Row { context, tool: "flux".to_owned(), verdict, unreachable: false }];
            for format in [Format::Table, Format::Wide, Format::Json] {
                assert_harmless(&render(&rows, format).unwrap());
            }
        }
    }
}
