//! `xtask release`

use std::path::PathBuf;

use clap::Subcommand;

use crate::release::{self, Platform, ReleaseError};

/// Make a release: archives, image, chart, kubectl plugin and sums; publish image and chart.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// Folder of the release's files.
    #[arg(long, global = true, value_name = "DIR", default_value = "target/dist")]
    dist: PathBuf,
    /// Commit of the programs, for the labels of the image.
    #[arg(long, global = true)]
    revision: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check that a tag is that of the version in Cargo.toml and Chart.yaml.
    CheckTag {
        /// Such as v1.2.3.
        tag: String,
        /// Owner and name of the repository, as in $GITHUB_REPOSITORY.
        #[arg(long)]
        repository: Option<String>,
    },
    /// Pack a program that runs on this machine, with its manual pages and completions.
    Archive {
        /// The program.
        #[arg(long, value_name = "FILE")]
        program: PathBuf,
        /// Target triple that it was built for.
        #[arg(long, value_parser = Platform::of_target)]
        target: Platform,
    },
    /// Make image, chart, plugin and sums of the archives and the SBOM.
    Assemble,
    /// Push image and chart, pull both and compare. Credentials are those of `crane auth login` and `helm registry login`.
    Publish {
        /// Folder of a registry [default: that of `repository` in Cargo.toml]
        #[arg(long)]
        registry: Option<String>,
    },
    /// Do all of it with a registry on this machine, and install the kubectl plugin.
    DryRun,
}

pub async fn run(args: Args) -> Result<(), ReleaseError> {
    let Args { command, dist, revision } = args;
    let revision = revision.as_deref().filter(|revision| !revision.is_empty());
    match command {
        Command::CheckTag { tag, repository } => release::check_tag(&tag, repository.as_deref()),
        Command::Archive { program, target } => {
            println!("{}", release::make_archive(&program, target, &dist).await?.display());
            Ok(())
        }
        Command::Assemble => {
            println!("image {}", release::assemble(&dist, revision).await?);
            Ok(())
        }
        Command::Publish { registry } => {
            let registry = registry.unwrap_or_else(release::registry);
            let published = release::publish(&dist, &registry, false).await?;
            println!("image={}\nchart={}", published.image, published.chart);
            Ok(())
        }
        Command::DryRun => release::dry_run(&dist, revision).await,
    }
}
