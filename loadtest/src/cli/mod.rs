//! The commands of the `loadtest` program, one file each.

mod limit;
mod page;
mod proxy;
mod run;

use std::thread::available_parallelism;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

/// Load tests of a Kubernetes fleet operator on one machine: real control planes, simulated clusters, real replicas.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Args),
    Limit(limit::Args),
    Page(page::Args),
    ControlPlane(testkit::serve::Args),
    Proxy(proxy::Args),
}

impl Cli {
    /// The baseline uses as many threads as a replica does.
    ///
    /// # Errors
    /// Fails if the runtime's threads or its I/O driver can't be created.
    pub fn runtime(&self) -> std::io::Result<Runtime> {
        match self.command {
            Command::Limit(_) => {
                let threads = available_parallelism().map_or(1, |processors| processors.get() / 2);
                Builder::new_multi_thread().worker_threads(threads.clamp(1, 4)).enable_all().build()
            }
            Command::Run(_) | Command::Page(_) | Command::ControlPlane(_) | Command::Proxy(_) => Runtime::new(),
        }
    }
}

/// Runs the command to its end, or until Ctrl-C.
///
/// # Errors
/// Fails if the arguments are invalid, the run breaks off, or a limit was missed.
pub async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Run(args) => run::run(args).await,
        Command::Limit(args) => limit::run(args).await,
        Command::Page(args) => page::run(args).await,
        Command::ControlPlane(args) => testkit::serve::run(args).await,
        Command::Proxy(args) => proxy::run(args).await,
    }
}
