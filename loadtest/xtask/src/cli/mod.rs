//! The commands of the `xtask` program, one file each.

mod demo;
mod e2e;
mod image;
mod release;
mod tools;

use clap::{Parser, Subcommand};

/// Tasks of the repository: build the tools of the tests, run a control plane, demonstrate and test ksit, pack its
/// image, release it. `make help` lists those that need no arguments.
#[derive(Debug, Parser)]
#[command(name = "xtask", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Tools(tools::Args),
    ControlPlane(testkit::serve::Args),
    Demo(demo::Args),
    E2e(e2e::Args),
    Image(image::Args),
    Release(release::Args),
}

pub async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Tools(args) => tools::run(args).await,
        Command::ControlPlane(args) => testkit::serve::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::E2e(args) => e2e::run(args).await,
        Command::Image(args) => image::run(&args),
        Command::Release(args) => release::run(args).await,
    }
}
