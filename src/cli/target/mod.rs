//! `ksit target`

mod add;
mod argocd;
mod capi;
mod carry_out;
mod hub_side;
mod import;
mod names;
mod show;
mod target_side;

use std::process::ExitCode;

use clap::Subcommand;

use super::CliError;
use super::hub::HubArgs;

/// Show one cluster: where it is, whether ksit can read it, and every tool on it. Or add clusters.
///
/// Examples:
///   ksit target berlin                      what is on the cluster
///   ksit target add --context berlin        give ksit an account there, and tell the hub of it
///   ksit target import --from argocd        take over the clusters that Argo CD knows
///   ksit target -- add                      show a cluster whose name is that of a command
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Name of the IntegrationTarget.
    #[arg(required = true)]
    name: Option<String>,
    #[command(flatten)]
    hub: HubArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Add(Box<add::Args>),
    Import(import::Args),
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    match args.command {
        Some(Command::Add(args)) => add::run(*args).await,
        Some(Command::Import(args)) => import::run(args).await,
        // Clap has asked for a name where there is no command.
        None => show::run(&args.name.unwrap_or_default(), &args.hub).await.map(|()| ExitCode::SUCCESS),
    }
}
