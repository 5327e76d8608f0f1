//! `xtask image`

use std::path::PathBuf;

use crate::{image, release};

/// Write a container image of a static ksit program as an OCI archive, without a container engine.
///
/// Load it with `kind load image-archive`, `docker load --input`, `podman load --input` or `ctr images import`. The
/// output is reproducible: the same program gives the same bytes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Statically linked program for amd64 or arm64; `make image` builds it.
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Archive to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Name of the image; the default is the chart's.
    #[arg(long, default_value_t = release::image(&release::registry()))]
    name: String,
    /// Tag of the image; the default is the chart's.
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// Commit of the program, for the image's labels.
    #[arg(long)]
    revision: Option<String>,
}

pub fn run(args: &Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let program =
        std::fs::read(&args.program).map_err(|error| format!("--program: {}: {error}", args.program.display()))?;
    let revision = args.revision.as_deref().filter(|revision| !revision.is_empty());
    let archive = image::archive(&program, &args.name, &args.tag, revision)
        .map_err(|error| format!("--program: {}: {error}", args.program.display()))?;
    std::fs::write(&args.out, &archive).map_err(|error| format!("--out: {}: {error}", args.out.display()))?;
    let mib = |bytes: usize| bytes as f64 / 1024.0 / 1024.0;
    println!("{} ({:.1} MiB, the program {:.1} MiB)", args.out.display(), mib(archive.len()), mib(program.len()));
    Ok(())
}
