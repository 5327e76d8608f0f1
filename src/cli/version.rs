//! `ksit version`

use std::path::PathBuf;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde::Serialize;

use super::hub::{Hub, HubFlags};
use super::output::print;
use super::table::table;
use super::{CliError, duration, json, yaml};
use crate::api::crds;
use crate::domain::escape::escape_lines;
use crate::hub::cause;
use crate::observability::BUILD;

/// Show the version of ksit, and those of its CustomResourceDefinitions on the hub.
///
/// A hub that does not answer is shown, and is no error.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Show the program alone; ask no hub.
    #[arg(long)]
    client: bool,
    /// Output format: json or yaml; default: text.
    #[arg(short, long, value_enum)]
    output: Option<Format>,
    /// Kubeconfig of the hub; default: $KUBECONFIG, else ~/.kube/config, else the Pod's ServiceAccount.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// Time limit for each request to the hub.
    #[arg(long, default_value = "3s", value_parser = duration, value_name = "DURATION")]
    request_timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Json,
    Yaml,
}

#[derive(Serialize)]
struct Versions {
    client: Program,
    #[serde(skip_serializing_if = "Option::is_none")]
    hub: Option<HubVersions>,
}

/// This program.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Program {
    version: &'static str,
    commit: &'static str,
    /// Time of the commit: a time of the build would make it unreproducible.
    build_date: Option<Timestamp>,
    rust: &'static str,
    target: &'static str,
}

/// The hub, or the reason why it is not shown.
#[derive(Serialize)]
#[serde(untagged)]
enum HubVersions {
    #[serde(rename_all = "camelCase")]
    Answered {
        server: String,
        kubernetes: String,
        crds: Vec<Definition>,
    },
    Unknown {
        error: String,
    },
}

/// One CustomResourceDefinition on the hub.
#[derive(Serialize)]
struct Definition {
    name: String,
    /// Versions that the API server serves.
    served: Vec<String>,
    /// Versions that objects may be stored in.
    stored: Vec<String>,
    /// Comparison with the one of this program, or the reason why there is none.
    schema: String,
}

/// Prints the versions.
///
/// # Errors
/// If stdout can't be written.
pub(super) async fn run(args: Args) -> Result<(), CliError> {
    let hub = match args.client {
        true => None,
        false => {
            Some(args.hub_versions().await.unwrap_or_else(|error| HubVersions::Unknown { error: error.to_string() }))
        }
    };
    let versions = Versions { client: Program::this(), hub };
    let text = match args.output {
        None => escape_lines(&versions.text()).into_owned(),
        Some(Format::Json) => json(&versions)?,
        Some(Format::Yaml) => yaml(&versions)?,
    };
    print(&text)?;
    Ok(())
}

impl Args {
    async fn hub_versions(&self) -> Result<HubVersions, CliError> {
        let Self { kubeconfig, context, request_timeout, .. } = self;
        let flags = HubFlags {
            kubeconfig: kubeconfig.clone(),
            context: context.clone(),
            namespace: None,
            request_timeout: *request_timeout,
        };
        let hub = flags.hub().await?;
        let kubernetes = hub.client.apiserver_version().await.map_err(|error| hub.fault(&error))?.git_version;
        let crds = join_all(crds::all().iter().map(|own| Definition::read(&hub, own))).await;
        Ok(HubVersions::Answered { server: hub.server, kubernetes, crds })
    }
}

impl Definition {
    /// Reads the definition on the hub and compares it with this program's.
    async fn read(hub: &Hub, own: &CustomResourceDefinition) -> Self {
        let name = own.name_any();
        let api: Api<CustomResourceDefinition> = Api::all(hub.client.clone());
        let (found, absence) = match api.get_opt(&name).await {
            Ok(Some(found)) => (found, None),
            Ok(None) => (CustomResourceDefinition::default(), Some("not installed".to_owned())),
            Err(error) => (CustomResourceDefinition::default(), Some(cause(&error).to_string())),
        };
        let schema = absence.unwrap_or_else(|| compare(own, &found).to_owned());
        let served = found.spec.versions.iter().filter(|version| version.served);
        Self {
            served: served.map(|version| version.name.clone()).collect(),
            stored: found.status.and_then(|status| status.stored_versions).unwrap_or_default(),
            name,
            schema,
        }
    }
}

/// Compares the versions of two definitions, with their schemas and columns.
fn compare(own: &CustomResourceDefinition, found: &CustomResourceDefinition) -> &'static str {
    match own.spec.versions == found.spec.versions {
        true => "as in this program",
        false => "another than in this program",
    }
}

impl Program {
    fn this() -> Self {
        Self {
            version: BUILD.version,
            commit: BUILD.revision,
            build_date: BUILD.date(),
            rust: BUILD.rustc,
            target: BUILD.target,
        }
    }
}

impl Versions {
    fn text(&self) -> String {
        let Program { version, commit, build_date, rust, target } = &self.client;
        let date = build_date.map_or_else(|| "unknown".to_owned(), |date| date.to_string());
        let program = format!(
            "ksit      {version}\ncommit    {commit}\ndate      {date}\nrust      {rust}\ntarget    {target}\n"
        );
        match &self.hub {
            None => program,
            Some(HubVersions::Unknown { error }) => format!("{program}hub       unknown: {error}\n"),
            Some(HubVersions::Answered { server, kubernetes, crds }) => {
                let row = |crd: &Definition| {
                    vec![crd.name.clone(), crd.served.join(","), crd.stored.join(","), crd.schema.clone()]
                };
                let rows: Vec<Vec<String>> = crds.iter().map(row).collect();
                let table = table(&["CRD", "SERVED", "STORED", "SCHEMA"], &rows);
                format!("{program}hub       {server}, Kubernetes {kubernetes}\n\n{table}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_names_the_program_without_a_hub() {
        let versions = Versions { client: Program::this(), hub: None };
        let text = versions.text();
        assert!(text.starts_with(&format!("ksit      {}\n", env!("CARGO_PKG_VERSION"))), "{text}");
        assert_eq!(text.lines().count(), 5);
        let hub = HubVersions::Unknown { error: "no kubeconfig".to_owned() };
        let text = Versions { client: Program::this(), hub: Some(hub) }.text();
        assert!(text.ends_with("hub       unknown: no kubeconfig\n"), "{text}");
    }

    #[test]
    fn changed_schema_is_another_one() {
        let own = crds::all().remove(0);
        let mut found = own.clone();
        found.metadata.annotations = Some([("a".to_owned(), "b".to_owned())].into());
        assert_eq!(compare(&own, &found), "as in this program");
        found.spec.versions[0].schema = None;
        assert_eq!(compare(&own, &found), "another than in this program");
    }
}
