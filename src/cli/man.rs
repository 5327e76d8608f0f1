//! `ksit man`, for packages

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory};
use clap_mangen::Man;

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
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    write(&cli, &args.out).map_err(|error| format!("--out: {}: {error}", args.out.display()).into())
}

/// Writes the page of a command and of those below it.
fn write(command: &Command, out: &Path) -> io::Result<()> {
    let man = Man::new(command.clone()).source(concat!("ksit ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render(&mut page)?;
    fs::write(out.join(man.get_filename()), unfilled(&String::from_utf8_lossy(&page)))?;
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| write(below, out))
}

/// Keeps the lines of indented blocks, such as examples, apart.
fn unfilled(page: &str) -> String {
    let (mut text, mut is_block) = (String::new(), false);
    for line in page.lines() {
        let is_indented = line.starts_with("  ");
        if is_indented != is_block {
            text.push_str(if is_indented { ".nf\n" } else { ".fi\n" });
            is_block = is_indented;
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_has_a_page_for_each_command() {
        let folder = tempfile::tempdir().unwrap();
        run(&Args { out: folder.path().to_owned() }).unwrap();
        let page = |name: &str| fs::read_to_string(folder.path().join(name));
        assert!(page("ksit.1").unwrap().contains("ksit\\-check(1)"));
        let add = page("ksit-target-add.1").unwrap();
        assert!(add.contains("\\-\\-context") && add.contains("Examples:\n.nf\n  ksit target add "), "{add}");
        assert!(page("ksit-man.1").is_err(), "it is hidden");
        let error = run(&Args { out: folder.path().join("missing") }).unwrap_err().to_string();
        assert!(error.starts_with("--out: ") && error.contains("missing"), "{error}");
    }
}
