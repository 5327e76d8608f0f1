//! `ksit target`

mod add;
mod argocd;
mod capi;
mod execute;
mod hub_side;
mod import;
mod names;
mod show;
mod target_side;

use std::process::ExitCode;

use clap::Subcommand;

use super::CliError;
use super::hub::HubArgs;

/// Show one cluster: its address, whether ksit can read it, and every tool on it. Or add clusters.
///
/// Examples:
///   ksit target berlin                      show the cluster berlin
///   ksit target add --context berlin        create an account for ksit there and register the cluster
///   ksit target import --from argocd        register the clusters that Argo CD manages
///   ksit target -- add                      show a cluster named like a subcommand
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
        // Clap requires the name if there is no subcommand.
        None => show::run(&args.name.unwrap_or_default(), &args.hub).await.map(|()| ExitCode::SUCCESS),
    }
}
