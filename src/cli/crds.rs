//! `ksit crds`

use std::fs;
use std::path::PathBuf;

use super::CliError;
use super::output::print;
use crate::api::crds;

/// Print the CustomResourceDefinitions:  ksit crds | kubectl apply --server-side -f -
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write each to a file in this directory instead.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<(), CliError> {
    for crd in crds::all() {
        let yaml = crds::to_yaml(&crd).map_err(|error| format!("{}: {error}", crd.spec.names.kind))?;
        match &args.out {
            None => {
                print(&format!("---\n{yaml}"))?;
            }
            Some(folder) => {
                let path = folder.join(format!("ksit.io_{}.yaml", crd.spec.names.plural));
                fs::write(&path, yaml).map_err(|error| format!("--out: {}: {error}", path.display()))?;
            }
        }
    }
    Ok(())
}
