//! The commands of the `loadtest` program, one file each.

mod control_plane;
mod demo;
mod run;
mod tools;

use clap::{Parser, Subcommand};

/// Real Kubernetes control planes on this machine, for tests, demo and load.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Tools(tools::Args),
    ControlPlane(control_plane::Args),
    Demo(demo::Args),
    Run(run::Args),
}

pub async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Tools(args) => tools::run(args).await,
        Command::ControlPlane(args) => control_plane::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}
