//! `ksit types`

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::check_output::Format;
use super::output::print;
use super::table::table;
use super::{CliError, check, duration, tool};
use crate::api::{IntegrationType, catalogue, convert};
use crate::domain::component::{ComponentKind, Presence};
use crate::domain::integrations::{Part, Tool};

/// Show the types of integration: the tools that ksit knows, and how it finds them.
///
/// Write one of your own: `ksit types show argocd` prints a manifest to start from,
/// `ksit types test FILE` shows what it would find on a cluster, and kubectl applies
/// it. Its name needs a dot, such as backstage.example.com.
///
/// Examples:
///   ksit types                                    every built-in type
///   ksit types -o wide                            with each component and its labels
///   ksit types show vault                         the manifest of one
///   ksit types test backstage.yaml --context a    what it would find
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Output format: table, wide (with every component) or name.
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ListFormat {
    Table,
    Wide,
    Name,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print built-in types as manifests, in YAML.
    Show {
        /// The types, such as argocd.
        #[arg(required = true, value_name = "TYPE", value_parser = tool)]
        types: Vec<&'static Tool>,
    },
    Test(TestArgs),
}

/// Check a type of your own on a cluster, without applying it anywhere.
///
/// Exits as `ksit check` does.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct TestArgs {
    /// Manifest of the IntegrationType, in YAML or JSON.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Kubeconfig; default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context to check; may be repeated. Default: the current one.
    #[arg(long, value_name = "NAME")]
    context: Vec<String>,
    /// Time limit for each cluster.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    timeout: Duration,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    match args.command {
        None => {
            print(&match args.output {
                ListFormat::Table => overview(catalogue::tools()),
                ListFormat::Wide => list(catalogue::tools()),
                ListFormat::Name => catalogue::tools().iter().map(|tool| format!("{}\n", tool.name)).collect(),
            })?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Show { types }) => {
            let is_shown = |built_in: &&catalogue::BuiltIn| types.iter().any(|tool| tool.name == built_in.tool.name);
            let shown: Vec<&str> = catalogue::types().iter().filter(is_shown).map(|built_in| built_in.yaml).collect();
            print(&shown.join("---\n"))?;
            Ok(ExitCode::SUCCESS)
        }
        Some(Command::Test(TestArgs { file, kubeconfig, context, timeout })) => {
            let tool: &'static Tool = Box::leak(Box::new(read(&file)?));
            check::run_one(tool, kubeconfig, context, timeout, Format::Wide).await
        }
    }
}

/// The type in a file.
fn read(file: &std::path::Path) -> Result<Tool, CliError> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("{shown}: {error}"))?;
    let object: IntegrationType = serde_saphyr::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
    let name = object.metadata.name.as_deref().unwrap_or_default();
    if !name.contains('.') {
        return Err(format!("{shown}: metadata.name: {name:?} needs a dot, such as backstage.example.com").into());
    }
    convert::tool(name, &object.spec).map_err(|error| format!("{shown}: {error}").into())
}

/// One line per tool.
fn overview(tools: &[&Tool]) -> String {
    let row = |tool: &&Tool| {
        vec![tool.name.clone(), tool.title.clone(), tool.namespace.clone(), tool.parts.len().to_string()]
    };
    table(&["TYPE", "TOOL", "NAMESPACE", "COMPONENTS"], &tools.iter().map(row).collect::<Vec<_>>())
}

/// One line per component of each tool.
pub fn list(tools: &[&Tool]) -> String {
    let rows: Vec<Vec<String>> = tools.iter().flat_map(|tool| tool.parts.iter().map(|part| row(tool, part))).collect();
    table(&["TYPE", "NAMESPACE", "COMPONENT", "EXPECTED", "FOUND BY"], &rows)
}

/// One line per tool, in Markdown.
pub fn markdown(tools: &[&Tool]) -> String {
    let mut text = "| type | tool | namespace | required | optional |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for tool in tools {
        let Tool { name, title, namespace, .. } = tool;
        let (required, optional) = (markdown_names(tool, false), markdown_names(tool, true));
        text.push_str(&format!("| `{name}` | {title} | `{namespace}` | {required} | {optional} |\n"));
    }
    text
}

/// The required or the optional components, by kind.
fn markdown_names(tool: &Tool, optional: bool) -> String {
    let of_kind = |kind: ComponentKind| {
        let parts = tool.parts.iter().filter(|part| part.kind == kind && is_optional(part) == optional);
        let names: Vec<&str> = parts.map(|part| part.name.as_str()).collect();
        (!names.is_empty()).then(|| format!("{}: {}", short(kind), names.join(", ")))
    };
    let all: BTreeSet<ComponentKind> = tool.parts.iter().map(|part| part.kind).collect();
    let kinds: Vec<String> = all.into_iter().filter_map(of_kind).collect();
    if kinds.is_empty() { "–".to_owned() } else { kinds.join("; ") }
}

fn row(tool: &Tool, part: &Part) -> Vec<String> {
    let namespace =
        if part.kind.is_cluster_scoped() { "-" } else { part.namespace.as_ref().unwrap_or(&tool.namespace) };
    let kinds: Vec<&str> = part.kinds().map(short).collect();
    vec![
        tool.name.clone(),
        namespace.to_owned(),
        format!("{}/{}", kinds.join("|"), part.name),
        if is_optional(part) { "optional" } else { "required" }.to_owned(),
        found_by(part),
    ]
}

/// Alternative label selectors and names; `!=` for a value that a label must not have.
fn found_by(part: &Part) -> String {
    let pair = |(key, value): (&String, &String)| match value.strip_prefix('!') {
        Some(unwanted) => format!("{key}!={unwanted}"),
        None => format!("{key}={value}"),
    };
    let selectors = part.finder.labels.iter().map(|set| set.iter().map(pair).collect::<Vec<_>>().join(","));
    let named = part.finder.names.iter().map(|name| format!("name {name}"));
    selectors.chain(named).collect::<Vec<_>>().join(" or ")
}

fn is_optional(part: &Part) -> bool {
    part.presence == Presence::Optional
}

fn short(kind: ComponentKind) -> &'static str {
    match kind {
        ComponentKind::Crd => "CRD",
        kind => kind.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::catalogue;

    #[test]
    fn list_shows_required_components_and_their_selectors() {
        let list = list(catalogue::tools());
        let words: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
        let server = words.iter().find(|words| words[2] == "Deployment/argocd-server").unwrap();
        assert_eq!(server[..4], ["argocd", "argocd", "Deployment/argocd-server", "required"]);
        let found_by = server[4..].join(" ");
        assert!(found_by.starts_with("app.kubernetes.io/name=argocd-server or "), "{found_by}");
        assert!(found_by.ends_with(" or name argocd-server"), "{found_by}");
        assert!(list.contains("istio!=egressgateway"), "{list}");
        assert!(list.contains("CRD/certificates.cert-manager.io"), "{list}");
    }
}
