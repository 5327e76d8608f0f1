//! `loadtest page`

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use testkit::command;

use crate::page::{Settings, measure};

/// Measure `ksit ui` on a hub with many clusters, whose statuses change while browsers look at it. No replica runs: the
/// statuses are written here. Prints a table.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Number of clusters.
    #[arg(long, default_value_t = 10_000)]
    targets: u32,
    /// Tools on each cluster.
    #[arg(long, default_value_t = 8)]
    integrations: u32,
    /// Statuses that change a second.
    #[arg(long, default_value_t = 40)]
    changes: u32,
    /// Pages that are open, and follow the changes.
    #[arg(long, default_value_t = 50)]
    pages: u32,
    /// Seconds of the measurement.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The ksit program [default: the one next to this program]
    #[arg(long, value_name = "FILE")]
    ksit: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let Args { targets, integrations, changes, pages, seconds, ksit } = args;
    let duration = Duration::from_secs(seconds);
    let settings = Settings { targets, integrations, changes, pages, duration, ksit: command::ksit(ksit)? };
    let table = measure(&settings).await?;
    write!(std::io::stdout(), "{table}")?;
    Ok(())
}
