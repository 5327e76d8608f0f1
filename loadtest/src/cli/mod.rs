//! The commands of the `loadtest` program, one file each.

mod control_plane;
mod demo;
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
}

pub async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Tools(args) => tools::run(args).await,
        Command::ControlPlane(args) => control_plane::run(args).await,
        Command::Demo(args) => demo::run(args).await,
    }
}
