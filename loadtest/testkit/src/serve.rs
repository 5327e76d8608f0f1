//! The command `control-plane` of `xtask` and of `loadtest`: a cluster to try something on.

use crate::ControlPlane;
use crate::command::interrupted;

/// Start a control plane, print its KUBECONFIG, and keep it running until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the control plane and of its context in the kubeconfig.
    #[arg(long, default_value = "local")]
    name: String,
    /// Run Deployments, StatefulSets and DaemonSets too: their Pods become ready without running anything.
    #[arg(long)]
    workloads: bool,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// Fails if the control plane does not start.
pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = ControlPlane::builder(&args.name);
    let builder = if args.workloads { builder.with_workloads() } else { builder };
    let plane = builder.start().await?;
    println!("export KUBECONFIG={}", plane.kubeconfig_path().display());
    eprintln!("{} answers at {}; Ctrl-C ends it", plane.name(), plane.url());
    interrupted().await?;
    Ok(())
}
