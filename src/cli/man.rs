//! `ksit man`, for packages

use std::path::PathBuf;

use clap::CommandFactory;

use super::{Cli, CliError};

/// Write a manual page for each command into a directory.
#[derive(Debug, clap::Args)]
#[command(hide = true)]
pub struct Args {
    /// Directory, such as /usr/local/share/man/man1.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Writes the pages.
///
/// # Errors
/// If a page can't be written.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    clap_mangen::generate_to(Cli::command(), &args.out)
        .map_err(|error| format!("--out: {}: {error}", args.out.display()).into())
}
