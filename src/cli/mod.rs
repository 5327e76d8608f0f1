//! The commands of the `ksit` program, one file each.

mod check;
mod check_output;
mod clusters;
mod completion;
mod crds;
mod error;
mod fleet;
mod history;
mod hub;
mod man;
mod notify;
mod operator;
mod output;
mod own_kubeconfig;
mod problems;
mod resources;
pub mod rights;
mod shards;
mod suggest;
mod table;
mod target;
pub mod types;
mod ui;
mod version;
mod versions;
mod wait;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use jiff::SignedDuration;
use serde::Serialize;

use crate::api::catalogue;
use crate::domain::escape::{escape_json, is_invisible};
use crate::domain::integrations::Tool;
use error::CliError;

/// ksit checks whether the tools on your Kubernetes clusters (Argo CD, Flux, Prometheus, Istio, …) work.
///
/// Try it without installing anything:  ksit check --type argocd --all-contexts
#[derive(Debug, Parser)]
#[command(name = "ksit", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Operator(Box<operator::Args>),
    Check(check::Args),
    Types(types::Args),
    Fleet(fleet::Args),
    Clusters(clusters::Args),
    Problems(problems::Args),
    Resources(resources::Args),
    Target(target::Args),
    Notify(notify::Args),
    Shards(shards::Args),
    Versions(versions::Args),
    Wait(wait::Args),
    Ui(Box<ui::Args>),
    History(history::Args),
    Crds(crds::Args),
    Completion(completion::Args),
    Version(version::Args),
    Man(man::Args),
}

/// Exit code for an undetermined result: invalid arguments, or a missing prerequisite. Clap uses the same code.
const COULD_NOT_TELL: u8 = 2;

/// Runs the command. Returns 2 if the arguments are invalid or a prerequisite is missing, else the command's own code.
pub async fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Operator(args) => operator::run(*args).await.map(|()| ExitCode::SUCCESS),
        Command::Check(args) => check::run(args).await,
        Command::Types(args) => types::run(args).await,
        Command::Fleet(args) => fleet::run(args).await,
        Command::Clusters(args) => clusters::run(args).await,
        Command::Problems(args) => problems::run(args).await,
        Command::Resources(args) => resources::run(args).await,
        Command::Target(args) => target::run(args).await,
        Command::Notify(args) => notify::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Shards(args) => shards::run(args).await,
        Command::Versions(args) => versions::run(args).await,
        Command::Wait(args) => wait::run(args).await,
        Command::Ui(args) => ui::run(*args).await,
        Command::History(args) => history::run(args).await,
        Command::Crds(args) => crds::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Completion(args) => completion::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Version(args) => version::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Man(args) => man::run(&args).map(|()| ExitCode::SUCCESS),
    };
    result.unwrap_or_else(|error| {
        output::print_error(&format!("error: {error}\n"));
        ExitCode::from(COULD_NOT_TELL)
    })
}

/// Renders JSON, with control characters escaped for terminals.
fn json(shown: &impl Serialize) -> Result<String, CliError> {
    let text = serde_json::to_string_pretty(shown).map_err(|error| format!("can't render this as JSON: {error}"))?;
    Ok(format!("{}\n", escape_json(&text)))
}

/// Renders YAML without invisible characters.
fn yaml(shown: &impl Serialize) -> Result<String, CliError> {
    let yaml = serde_saphyr::to_string(shown).map_err(|error| format!("can't render this as YAML: {error}"))?;
    // JSON is valid YAML and can escape every character.
    if yaml.contains(|c| c != '\n' && is_invisible(c)) { json(shown) } else { Ok(yaml) }
}

/// Parses a Go duration such as `30s` or `1m30s`; at least one second.
fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<SignedDuration>().map(Duration::try_from) {
        Ok(Ok(duration)) if duration >= Duration::from_secs(1) => Ok(duration),
        Ok(_) => Err("must be at least 1s".to_owned()),
        Err(_) => Err("write it as 30s or 1m30s".to_owned()),
    }
}

/// Parses the name of a supported tool.
fn tool(name: &str) -> Result<&'static Tool, String> {
    catalogue::tool(name).ok_or_else(|| {
        let known: Vec<&str> = catalogue::tools().iter().map(|tool| tool.name.as_str()).collect();
        format!("use one of {}", known.join(", "))
    })
}

/// Parses `key=value`.
fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_durations_are_explained() {
        assert_eq!(duration("1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("10ms").unwrap_err(), "must be at least 1s");
        assert_eq!(duration("-5s").unwrap_err(), "must be at least 1s");
        assert_eq!(duration("soon").unwrap_err(), "write it as 30s or 1m30s");
    }
}
