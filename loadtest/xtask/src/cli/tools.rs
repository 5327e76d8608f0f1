//! `xtask tools`

use testkit::Tool;

/// Build the programs of a control plane into the cache and print their paths; with --chart or --release, the programs
/// that check the chart or make a release.
///
/// The cache is $XDG_CACHE_HOME/ksit/tools (or ~/.cache/ksit/tools), keyed by version. Programs in
/// $KUBEBUILDER_ASSETS are used as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Programs to build [default: those of a control plane]
    tools: Vec<Tool>,
    /// Build the programs that check the chart: helm, kubeconform, promtool, prometheus.
    #[arg(long, conflicts_with = "tools")]
    chart: bool,
    /// Build the programs that publish and check a release: registry, crane, helm, krew, validate-krew-manifest.
    #[arg(long, conflicts_with_all = ["tools", "chart"])]
    release: bool,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let tools = match args.tools {
        given if !given.is_empty() => given,
        _ if args.chart => Tool::CHART.to_vec(),
        _ if args.release => Tool::RELEASE.to_vec(),
        _ => Tool::CONTROL_PLANE.to_vec(),
    };
    for tool in tools {
        let path = tokio::task::spawn_blocking(move || tool.path()).await??;
        println!("{}", path.display());
    }
    Ok(())
}
