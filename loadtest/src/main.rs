use std::process::ExitCode;

use clap::Parser;
use loadtest::cli;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let ended = cli.runtime().map_err(Into::into).and_then(|runtime| runtime.block_on(cli::run(cli)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
