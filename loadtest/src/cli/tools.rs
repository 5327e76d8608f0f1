//! `loadtest tools`

use crate::Tool;

/// Build the programs of a control plane into the cache, and print where they are.
///
/// The cache is $XDG_CACHE_HOME/ksit/tools (or ~/.cache/ksit/tools), keyed by version. Programs in
/// $KUBEBUILDER_ASSETS are used as they are.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which ones; default: all.
    tools: Vec<Tool>,
}

pub async fn run(args: Args) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let tools = if args.tools.is_empty() { Tool::ALL.to_vec() } else { args.tools };
    for tool in tools {
        let path = tokio::task::spawn_blocking(move || tool.path()).await??;
        println!("{}", path.display());
    }
    Ok(())
}
