//! `xtask demo`

use std::path::PathBuf;

use testkit::command;

use crate::demo;

/// Demonstrate ksit on real API servers started for it: five tools on three clusters, a Deployment scaled to 0, a
/// cluster that stops, and the repair of both.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ksit program [default: the one next to this program]
    #[arg(long, value_name = "FILE")]
    ksit: Option<PathBuf>,
    /// Leave everything running until Ctrl-C, and print how to use it.
    #[arg(long, env = "KEEP", value_parser = clap::builder::BoolishValueParser::new(), action = clap::ArgAction::Set,
        default_value = "0", num_args = 0..=1, default_missing_value = "1")]
    keep: bool,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    demo::run(command::ksit(args.ksit)?, args.keep).await
}
