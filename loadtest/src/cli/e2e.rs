//! `loadtest e2e`

use std::path::PathBuf;

use crate::e2e;

/// Test ksit's image and chart on two real clusters that are made for it with kind: install, helm test, a break and a
/// mend, upgrade, rollback, scaling, a dead coordinator, evictions, uninstall.
///
/// Needs `kind` and `docker` on PATH. Nodes are made of $KIND_NODE_IMAGE, or else kind's own node image. The clusters
/// are called ksit-e2e-hub-PID and ksit-e2e-target-PID; they are deleted at the end, also on failure and Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The image, as `make image` writes it.
    #[arg(long, value_name = "FILE", default_value = "target/ksit.oci.tar")]
    image: PathBuf,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !args.image.exists() {
        return Err(format!("--image: {} is not there; `make image` writes it", args.image.display()).into());
    }
    tokio::select! {
        told = e2e::run(args.image) => told,
        _ = super::interrupted() => Err("interrupted; the clusters are deleted".into()),
    }
}
