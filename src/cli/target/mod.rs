//! `ksit target`

mod add;
mod argocd;
mod capi;
mod cluster_profile;
mod execute;
mod hub_side;
mod identities;
mod import;
mod names;
mod ocm;
mod pause;
mod remove;
mod show;
mod target_side;

use std::process::ExitCode;

use clap::Subcommand;

use super::CliError;
use super::hub::HubArgs;

/// Show one cluster: its address, whether ksit can read it, and every tool on it. Or add, pause and remove clusters.
///
/// Examples:
///   ksit target berlin                      show the cluster berlin
///   ksit target add --context berlin        create an account for ksit there and register the cluster
///   ksit target import --from argocd        register the clusters that Argo CD manages
///   ksit target pause berlin --for 2h       stop checking it for two hours
///   ksit target remove berlin               delete what `ksit target add` created, on both sides
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
    Remove(remove::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    match args.command {
        Some(Command::Add(args)) => add::run(*args).await,
        Some(Command::Import(args)) => import::run(args).await,
        Some(Command::Remove(args)) => remove::run(args).await,
        Some(Command::Pause(args)) => pause::pause(args).await.map(|()| ExitCode::SUCCESS),
        Some(Command::Resume(args)) => pause::resume(args).await.map(|()| ExitCode::SUCCESS),
        // Clap requires the name if there is no subcommand.
        None => show::run(&args.name.unwrap_or_default(), &args.hub).await.map(|()| ExitCode::SUCCESS),
    }
}
