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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_has_a_page_for_each_command() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { out: folder.path().to_owned() }).unwrap();
        let page = |name: &str| std::fs::read_to_string(folder.path().join(name));
        assert!(page("ksit.1").unwrap().contains("ksit\\-check(1)"));
        assert!(page("ksit-target-add.1").unwrap().contains("\\-\\-context"));
        assert!(page("ksit-man.1").is_err(), "it is hidden");
        let error = run(&Args { out: folder.path().join("missing") }).unwrap_err().to_string();
        assert!(error.starts_with("--out: ") && error.contains("missing"), "{error}");
    }
}
