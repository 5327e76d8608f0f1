//! `ksit problems`

use std::process::ExitCode;

use serde::Serialize;

use super::CliError;
use super::clusters::targets;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::lists::{ClusterRow, Problem, problems};

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
        let rows: Vec<ClusterRow> = all.iter().map(ClusterRow::from).collect();
        Ok(Problems(problems(&rows)))
    };
    let found = args.hub.show(look).await?;
    Ok(if found.0.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[derive(Serialize)]
#[serde(transparent)]
struct Problems(Vec<Problem>);

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
                problem.cause.phase.clone(),
                problem.cause.type_.clone().unwrap_or_else(|| "-".to_owned()),
                problem.cause.reason.clone(),
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
    use super::*;

    #[test]
    fn fleet_without_problems_is_one_line() {
        assert_eq!(Problems(Vec::new()).text(false), "nothing is wrong\n");
    }
}
