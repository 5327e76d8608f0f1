//! The commands of the `loadtest` program, one file each.

mod control_plane;
mod demo;
mod run;
mod tools;

use std::path::PathBuf;

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

/// The ksit program that was asked for, or the one that was built with this program.
fn ksit(asked: Option<PathBuf>) -> Result<PathBuf, String> {
    let beside = || std::env::current_exe().map(|own| own.with_file_name("ksit")).unwrap_or_else(|_| "ksit".into());
    let program = asked.unwrap_or_else(beside);
    match program.exists() {
        true => Ok(program),
        false => {
            Err(format!("--ksit: {} is not there; cargo build makes it, or cargo build --release", program.display()))
        }
    }
}
