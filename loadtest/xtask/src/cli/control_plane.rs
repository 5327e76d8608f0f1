//! `xtask control-plane`

use testkit::ControlPlane;

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

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let builder = ControlPlane::builder(&args.name);
    let builder = if args.workloads { builder.with_workloads() } else { builder };
    let plane = builder.start().await?;
    println!("export KUBECONFIG={}", plane.kubeconfig_path().display());
    eprintln!("{} answers at {}; Ctrl-C ends it", plane.name(), plane.url());
    tokio::signal::ctrl_c().await?;
    Ok(())
}
