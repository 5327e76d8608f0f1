//! `xtask e2e`

use std::path::PathBuf;

use testkit::command;

use crate::e2e;

/// Test ksit's image and chart on two real clusters created with kind: install, helm test, a break and its repair,
/// upgrade, rollback, scaling, a dead coordinator, evictions, uninstall.
///
/// Needs `kind` and `docker` on PATH. Nodes use $KIND_NODE_IMAGE, or else kind's own node image. The clusters are named
/// ksit-e2e-hub-PID and ksit-e2e-target-PID and deleted at the end, also on failure and Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Image archive, as written by `make image`.
    #[arg(long, value_name = "FILE", default_value = "target/ksit.oci.tar")]
    image: PathBuf,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    if !args.image.exists() {
        return Err(format!("--image: {} does not exist; run `make image`", args.image.display()).into());
    }
    tokio::select! {
        result = e2e::run(args.image) => result,
        _ = command::interrupted() => Err("interrupted; the clusters are deleted".into()),
    }
}
