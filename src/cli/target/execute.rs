//! Shared by `ksit target add`, `import` and `remove`: shows the plan, asks, works through all clusters even if some
//! fail, and prints a summary.

use std::io::IsTerminal;
use std::process::ExitCode;

use futures::{StreamExt, stream};
use serde::Serialize;

use crate::cli::output::{print, print_error};
use crate::cli::table::table;
use crate::cli::{CliError, json};
use crate::domain::escape::escape;

/// Clusters processed concurrently.
pub(super) const CONCURRENCY: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Consent {
    /// Don't ask.
    #[arg(short, long)]
    yes: bool,
    /// Show the plan without changing anything.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Take over, or remove, Secrets and IntegrationTargets created by others, and fields changed by others.
    #[arg(long)]
    pub(super) force: bool,
    /// Output format of the summary: table or json.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The outcome for one cluster.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    /// Its name on the hub.
    pub(super) cluster: String,
    /// The context or object that it comes from.
    pub(super) from: String,
    pub(super) server: String,
    pub(super) result: Outcome,
    pub(super) message: String,
    /// Objects to create or delete, as `cluster: Kind namespace/name` or `hub: …`.
    pub(super) objects: Vec<String>,
}

impl Row {
    /// A row without server, message or objects.
    pub(super) fn planned(cluster: &str, from: String) -> Self {
        Self {
            cluster: cluster.to_owned(),
            from,
            server: String::new(),
            result: Outcome::Planned,
            message: String::new(),
            objects: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) enum Outcome {
    /// Not executed: a dry run, or the user declined.
    Planned,
    Added,
    Removed,
    /// Left out on purpose.
    Skipped,
    Failed,
}

/// A cluster and its pending work; `None` if it is skipped or has already failed.
pub(super) struct Candidate<W> {
    pub(super) row: Row,
    pub(super) work: Option<W>,
}

impl<W> Candidate<W> {
    /// A candidate without work, and the reason.
    pub(super) fn stopped(row: Row, result: Outcome, message: impl Into<String>) -> Self {
        Self { row: Row { result, message: message.into(), objects: Vec::new(), ..row }, work: None }
    }
}

/// The result of the work on one cluster: `Added` or `Removed`, and a note for the user.
pub(super) type Done = (Outcome, Option<String>);

/// Shows the plan, asks whether to `verb` it, runs `work` for each candidate, and prints the outcome. The exit code is 1
/// if any failed.
pub(super) async fn execute<W>(
    consent: &Consent,
    verb: &str,
    candidates: Vec<Candidate<W>>,
    work: impl AsyncFn(W) -> Result<Done, CliError>,
) -> Result<ExitCode, CliError> {
    let has_work = candidates.iter().any(|candidate| candidate.work.is_some());
    // The plan goes to stderr: stdout is for programs.
    print_error(&plan(&candidates));
    let proceeds = !consent.dry_run && has_work && (consent.yes || confirm(verb)?);
    let work = &work;
    let one = |candidate: Candidate<W>| async move {
        let Candidate { mut row, work: todo } = candidate;
        if let Some(todo) = todo.filter(|_| proceeds) {
            (row.result, row.message) = match work(todo).await {
                Ok((outcome, note)) => {
                    let notes = [Some(row.message), note].into_iter().flatten().filter(|note| !note.is_empty());
                    (outcome, notes.collect::<Vec<_>>().join("; "))
                }
                Err(error) => (Outcome::Failed, error.to_string()),
            };
        }
        row
    };
    let rows: Vec<Row> = stream::iter(candidates).map(one).buffered(CONCURRENCY).collect().await;
    print(&render(&rows, consent.output)?)?;
    let failed = rows.iter().any(|row| row.result == Outcome::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn plan<W>(candidates: &[Candidate<W>]) -> String {
    let mut text = String::new();
    for Candidate { row, .. } in candidates.iter().filter(|candidate| candidate.work.is_some()) {
        let [cluster, from, server] = [&row.cluster, &row.from, &row.server].map(|text| escape(text));
        text.push_str(&format!("{cluster} ({from}, {server})\n"));
        row.objects.iter().for_each(|object| text.push_str(&format!("  {}\n", escape(object))));
        if !row.message.is_empty() {
            text.push_str(&format!("  note: {}\n", escape(&row.message)));
        }
    }
    text
}

fn confirm(verb: &str) -> Result<bool, CliError> {
    if !std::io::stdin().is_terminal() {
        return Err(
            "can't ask for confirmation, because stdin is not a terminal: use --yes, or --dry-run to see the plan"
                .into(),
        );
    }
    print_error(&format!("{verb} all of this? [y/N] "));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn render(rows: &[Row], format: Format) -> Result<String, CliError> {
    if format == Format::Json {
        return json(&rows);
    }
    let cells = |row: &Row| {
        vec![
            row.cluster.clone(),
            row.from.clone(),
            format!("{:?}", row.result),
            row.server.clone(),
            row.message.clone(),
        ]
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let count = |result| rows.iter().filter(|row| row.result == result).count();
    let counts: Vec<String> = [Outcome::Added, Outcome::Removed, Outcome::Planned, Outcome::Skipped, Outcome::Failed]
        .into_iter()
        .filter(|result| count(*result) > 0)
        .map(|result| format!("{} {}", count(result), format!("{result:?}").to_lowercase()))
        .collect();
    let heads = ["CLUSTER", "FROM", "RESULT", "SERVER", "MESSAGE"];
    Ok(format!("{}\n{}\n", table(&heads, &cells), counts.join(", ")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::table::assert_harmless;

    proptest! {
        #[test]
        fn plans_show_any_cluster_harmlessly(cluster: String, from: String, server: String, message: String) {
            let objects = vec![format!("hub: Secret {cluster}")];
            let row = Row { cluster, from, server, result: Outcome::Planned, message, objects };
            let text = plan(&[Candidate { row, work: Some(()) }]);
            assert_harmless(&text);
            let lines = text.lines().count();
            prop_assert!(lines == 2 || lines == 3, "{text}");
        }
    }
}
