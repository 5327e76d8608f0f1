//! The commands of the `loadtest` program, one file each.

mod control_plane;
mod demo;
mod e2e;
mod image;
mod limit;
mod run;
mod simulate;
mod tools;

use std::path::PathBuf;
use std::thread::available_parallelism;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Load tests of a Kubernetes fleet operator on one machine: real control planes, simulated clusters, real replicas.
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
    E2e(e2e::Args),
    Image(image::Args),
    Run(run::Args),
    Simulate(simulate::Args),
    Limit(limit::Args),
}

impl Cli {
    /// The baseline uses as many threads as a replica does.
    pub fn runtime(&self) -> std::io::Result<Runtime> {
        match self.command {
            Command::Limit(_) => {
                let threads = available_parallelism().map_or(1, |processors| processors.get() / 2);
                Builder::new_multi_thread().worker_threads(threads.clamp(1, 4)).enable_all().build()
            }
            _ => Runtime::new(),
        }
    }
}

pub async fn run(cli: Cli) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match cli.command {
        Command::Tools(args) => tools::run(args).await,
        Command::ControlPlane(args) => control_plane::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Simulate(args) => simulate::run(args).await,
        Command::Limit(args) => limit::run(args).await,
        Command::Demo(args) => demo::run(args).await,
        Command::E2e(args) => e2e::run(args).await,
        Command::Image(args) => image::run(&args),
    }
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        pressed = tokio::signal::ctrl_c() => pressed,
        _ = terminated.recv() => Ok(()),
    }
}

/// Parses a Kubernetes duration: 20ms, 30s, 1h30m.
fn duration(text: &str) -> Result<Duration, String> {
    let duration: kube::core::Duration = text.parse().map_err(|error| format!("{error}; write it as 30s or 1m30s"))?;
    if duration.is_negative() {
        return Err("it must not be negative".to_owned());
    }
    Ok(duration.into())
}

/// The ksit program given on the command line, or the one next to this program.
fn ksit(given: Option<PathBuf>) -> Result<PathBuf, String> {
    let sibling = || std::env::current_exe().map(|own| own.with_file_name("ksit")).unwrap_or_else(|_| "ksit".into());
    let program = given.unwrap_or_else(sibling);
    match program.exists() {
        true => Ok(program),
        false => Err(format!("--ksit: {} does not exist; run cargo build or cargo build --release", program.display())),
    }
}
