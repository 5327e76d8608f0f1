//! Tasks of the repository that a shell script could not do portably: tools, control plane, demo, end-to-end test,
//! image, release.
//!
//! Must not know the load tests, nor the code of ksit: it starts the built program, or packs it.

mod cli;
mod demo;
mod e2e;
mod image;
mod packing;
mod release;
mod steps;
mod table;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
