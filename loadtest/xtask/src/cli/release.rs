//! `xtask release`

use std::path::PathBuf;

use clap::Subcommand;

use crate::release::{self, ReleaseError};

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
    /// Pack the programs PROGRAMS/TARGET/ksit, with manual pages and completions.
    Archives {
        /// Folder with a folder for each target triple. That of this machine must be there: it prints the pages.
        #[arg(long, value_name = "DIR")]
        programs: PathBuf,
    },
    /// Make image, chart, plugin and sums of the archives and the SBOM.
    Assemble,
    /// Log in to the registry of `repository` in Cargo.toml, with the password in $TOKEN.
    Login {
        /// User of the registry.
        #[arg(long)]
        user: String,
        /// Password; only from the environment.
        #[arg(long, env = "TOKEN", hide = true, hide_env_values = true)]
        token: String,
    },
    /// Push image and chart, pull both and compare. Prints names and digests as outputs of a workflow.
    Publish {
        /// Folder of a registry [default: that of `repository` in Cargo.toml]
        #[arg(long)]
        registry: Option<String>,
    },
    /// Do all of it with a registry on this machine, and install the kubectl plugin.
    DryRun {
        /// Install it on kind clusters too. Needs `kind` and `docker`; nodes use $KIND_NODE_IMAGE.
        #[arg(long)]
        kind: bool,
    },
}

pub async fn run(args: Args) -> Result<(), ReleaseError> {
    let Args { command, dist, revision } = args;
    let revision = revision.as_deref().filter(|revision| !revision.is_empty());
    match command {
        Command::CheckTag { tag, repository } => release::check_tag(&tag, repository.as_deref()),
        Command::Archives { programs } => {
            for archive in release::make_archives(&programs, &dist).await? {
                println!("{}", archive.display());
            }
            Ok(())
        }
        Command::Assemble => {
            println!("image {}", release::assemble(&dist, revision).await?);
            Ok(())
        }
        Command::Login { user, token } => release::login(&user, &token).await,
        Command::Publish { registry } => {
            let registry = registry.unwrap_or_else(release::registry);
            let published = release::publish(&dist, &registry, false).await?;
            for (what, object) in [("image", &published.image), ("chart", &published.chart)] {
                println!("{what}-name={}\n{what}-digest={}", object.name, object.digest);
            }
            Ok(())
        }
        Command::DryRun { kind } => release::dry_run(&dist, revision, kind).await,
    }
}
