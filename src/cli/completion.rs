//! `ksit completion`

use clap::CommandFactory;
use clap_complete::Shell;

use super::output::print;
use super::{Cli, CliError};

/// Print the script that completes ksit's commands and flags in your shell.
///
/// Examples:
///   source <(ksit completion bash)
///   ksit completion zsh > "${fpath[1]}/_ksit"
///   ksit completion fish > ~/.config/fish/completions/ksit.fish
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Shell: bash, zsh, fish, elvish or powershell.
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ksit", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(())
}
