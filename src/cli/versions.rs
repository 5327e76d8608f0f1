//! `ksit versions`

use std::process::ExitCode;

use kube::{Api, ResourceExt};
use serde::Serialize;

use super::CliError;
use super::hub::{Hub, HubArgs, Shown};
use super::table::table;
use crate::api::{Integration, VersionSummary};
use crate::hub::Lenient;

/// Show how many clusters run which version of each tool, newest first.
///
/// The version of a tool is that of its main component: the label
/// app.kubernetes.io/version, else the tag of the image of the first container.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(flatten)]
    hub: HubArgs,
    /// List all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    let look = async |hub: Hub| {
        let api: Api<Lenient<Integration>> = hub.api(args.all_namespaces);
        let found = api.list(&Default::default()).await.map_err(|error| hub.fault(&error))?;
        let lines = found.items.into_iter().filter_map(|item| match item {
            Lenient::Read(integration) => Some(Line::from(*integration)),
            // `ksit fleet` says what is wrong with it.
            Lenient::Unreadable { .. } => None,
        });
        Ok(Versions(lines.collect()))
    };
    args.hub.show(look).await?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Versions(Vec<Line>);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    namespace: String,
    name: String,
    #[serde(rename = "type")]
    type_: String,
    /// The range in `spec.versions`.
    wanted: Option<String>,
    versions: Vec<VersionSummary>,
}

impl From<Integration> for Line {
    fn from(integration: Integration) -> Self {
        Self {
            namespace: integration.namespace().unwrap_or_default(),
            name: integration.name_any(),
            versions: integration.status.unwrap_or_default().versions,
            wanted: integration.spec.versions,
            type_: integration.spec.type_,
        }
    }
}

impl Shown for Versions {
    fn text(&self, _wide: bool) -> String {
        let rows = self.0.iter().flat_map(|line| {
            line.versions.iter().map(|VersionSummary { version, clusters }| {
                let wanted = line.wanted.clone().unwrap_or_default();
                let (namespace, name, type_) = (line.namespace.clone(), line.name.clone(), line.type_.clone());
                vec![namespace, name, type_, version.clone(), clusters.to_string(), wanted]
            })
        });
        table(&["NAMESPACE", "INTEGRATION", "TYPE", "VERSION", "CLUSTERS", "WANTED"], &rows.collect::<Vec<_>>())
    }
}
