use std::process::ExitCode;

use clap::Parser;
use ksit::cli;

/// Gives back what the first lists of thousands of targets took for a moment.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).await
}
