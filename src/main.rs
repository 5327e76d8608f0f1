use std::process::ExitCode;

use clap::Parser;
use ksit::cli;

#[tokio::main]
async fn main() -> ExitCode {
    cli::run(cli::Cli::parse()).await
}
