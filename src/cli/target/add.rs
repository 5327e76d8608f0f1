//! `ksit target add`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::carry_out::{AT_A_TIME, Candidate, Consent, Outcome, Row, carry_out};
use super::hub_side::{HubSide, Wanted, acceptable, kubeconfig};
use super::names::{is_label, matches, object_name};
use super::target_side::{Place, Scope, apply, client, cluster_entry, config, objects, title, token};
use crate::cli::{CliError, duration, hub, key_value, tool};

/// Give ksit an account on clusters of your kubeconfig, and tell the hub of them.
///
/// With your own credentials (exec plugins run, so EKS, GKE and AKS work) it makes
///   on each cluster  the Namespace ksit with a ServiceAccount and a token for it, and Roles to
///                    read tools: what deploy/target/ has
///   on the hub       the Secret NAME-kubeconfig with server, CA and that token, and the
///                    IntegrationTarget NAME
/// It shows all of that and asks first. It may be repeated: what is there already stays, rights
/// and labels are added. What somebody else made is left alone without --force. If one cluster
/// fails, the others go on. Exits with 0, 1 if a cluster failed, 2 if nothing was tried.
///
/// Examples:
///   ksit target add --context berlin --hub-context hub -n ksit-system
///   ksit target add --all-contexts --dry-run
///   ksit target add --selector 'prod-*' --label env=prod --yes
///   ksit target add --context kind-a --name a --server https://a-control-plane:6443
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[group(id = "clusters", required = true, multiple = false, args = ["context", "all_contexts", "selector"])]
pub struct Args {
    /// Kubeconfig with the contexts of clusters and hub; default: $KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Context of a cluster; may be given more than once.
    #[arg(long, value_name = "NAME")]
    context: Vec<String>,
    /// Every context but those of the hub.
    #[arg(long)]
    all_contexts: bool,
    /// Contexts whose name is like this, but those of the hub: * is any characters, ? is one. May be given more than
    /// once.
    #[arg(long, value_name = "PATTERN")]
    selector: Vec<String>,
    /// Context of the hub; default: the current one.
    #[arg(long, value_name = "NAME")]
    hub_context: Option<String>,
    /// Namespace on the hub; default: that of the hub's context.
    #[arg(short, long, value_name = "NAME")]
    namespace: Option<String>,
    /// Time for the hub, and for each cluster, to answer each request.
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "DURATION")]
    request_timeout: Duration,
    /// Name of the cluster on the hub; default: made of the context's name. Needs one --context.
    #[arg(long)]
    name: Option<String>,
    /// URL at which the hub reaches the API server, where it isn't yours. Needs one --context.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// A label of the clusters, for targetSelector of Integrations; may be given more than once.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Tool that ksit may read, and its namespace if that isn't the usual one; may be given more than once. Default:
    /// every tool that ksit knows whose usual namespace is there now; kube-system, which is everywhere, doesn't tell.
    #[arg(long = "type", value_name = "TOOL[=NAMESPACE]", value_parser = place, conflicts_with = "cluster_wide")]
    types: Vec<Place>,
    /// Let ksit read workloads, Services and CRDs of all namespaces: for `type: custom`, and tools in unusual places.
    #[arg(long)]
    cluster_wide: bool,
    #[command(flatten)]
    consent: Consent,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = key_value(text)?;
    if is_label(&key, &value) {
        return Ok((key, value));
    }
    Err("not a label of Kubernetes: letters, digits, '-', '_' and '.', at most 63 of them in key and value".to_owned())
}

fn place(text: &str) -> Result<Place, String> {
    let (name, namespace) = text.split_once('=').map_or((text, None), |(name, namespace)| (name, Some(namespace)));
    let tool = tool(name)?;
    Ok(Place { tool, namespace: namespace.unwrap_or(tool.namespace).to_owned() })
}

/// All that is needed to add one cluster.
struct Work {
    client: Client,
    objects: Vec<Value>,
    /// The `cluster` entry of the new kubeconfig.
    entry: Value,
    wanted: Wanted,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if (args.name.is_some() || args.server.is_some()) && args.context.len() != 1 {
        return Err("--name and --server need one --context, whose they are".into());
    }
    let place = hub::Place {
        kubeconfig: args.kubeconfig.clone(),
        context: args.hub_context.clone(),
        namespace: args.namespace.clone(),
        request_timeout: args.request_timeout,
    };
    let file = place.file()?;
    let hub = HubSide { hub: place.hub().await?, force: args.consent.force };
    let contexts = contexts(&args, &file)?;
    hub.warn_if_unobserved().await;
    let scope = match (args.cluster_wide, args.types.as_slice()) {
        (true, _) => Scope::ClusterWide,
        (false, []) => Scope::Found,
        (false, places) => Scope::These(places.to_vec()),
    };
    let (scope, hub, file) = (&scope, &hub, &file);
    let candidates: Vec<Candidate<Work>> = stream::iter(&contexts)
        .map(|context| candidate(context, &args, file, scope, hub))
        .buffered(AT_A_TIME)
        .collect()
        .await;
    let candidates = without_doubles(candidates);
    let force = args.consent.force;
    carry_out(&args.consent, candidates, async |work: Work| {
        apply(&work.client, &work.objects, force).await?;
        let token = token(&work.client).await?;
        let user = json!({ "token": token.expose_secret() });
        hub.write(&work.wanted, &kubeconfig(&work.wanted.name, &work.entry, &user)).await
    })
    .await
}

fn contexts(args: &Args, file: &Kubeconfig) -> Result<Vec<String>, CliError> {
    let all: Vec<String> = file.contexts.iter().map(|context| context.name.clone()).collect();
    if let Some(unknown) = args.context.iter().find(|name| !all.contains(name)) {
        return Err(format!("--context: {unknown:?} is not one of {}", all.join(", ")).into());
    }
    let is_wanted = |name: &String| {
        args.all_contexts || args.context.contains(name) || args.selector.iter().any(|pattern| matches(pattern, name))
    };
    let found: Vec<String> = all.iter().filter(|name| is_wanted(name)).cloned().collect();
    if found.is_empty() {
        return Err(format!("no context is like that; there are {}", all.join(", ")).into());
    }
    Ok(found)
}

/// Looks at a cluster and at the hub, and writes nothing.
async fn candidate(context: &str, args: &Args, file: &Kubeconfig, scope: &Scope, hub: &HubSide) -> Candidate<Work> {
    let mut row = Row {
        cluster: context.to_owned(),
        from: format!("context {context}"),
        server: String::new(),
        result: Outcome::Planned,
        message: String::new(),
        objects: Vec::new(),
    };
    match prepared(&mut row, context, args, file, scope, hub).await {
        Ok(Some(work)) => Candidate { row, work: Some(work) },
        Ok(None) => Candidate::stopped(row, Outcome::Skipped, "this is the hub; give --context to add it"),
        Err(error) => Candidate::stopped(row, Outcome::Failed, error.to_string()),
    }
}

/// Nothing if it is the hub, and that wasn't asked for by name.
async fn prepared(
    row: &mut Row,
    context: &str,
    args: &Args,
    file: &Kubeconfig,
    scope: &Scope,
    hub: &HubSide,
) -> Result<Option<Work>, CliError> {
    let config = config(context, file).await?;
    let own_server = config.cluster_url.to_string();
    row.server = args.server.clone().unwrap_or_else(|| own_server.trim_end_matches('/').to_owned());
    if own_server == hub.hub.server && args.context.is_empty() {
        return Ok(None);
    }
    row.cluster = object_name(args.name.as_deref().unwrap_or(context))?;
    let entry = cluster_entry(&config, &row.server)?;
    // Before anything is made: would the operator take it?
    let trial = kubeconfig(&row.cluster, &entry, &json!({ "token": "t" }));
    let note = acceptable(trial.expose_secret().as_bytes())?;
    let mut notes: Vec<String> = note.map(|note| format!("{note} with --server")).into_iter().collect();
    let client = client(config, args.request_timeout)?;
    let (objects, left_out) = objects(&client, scope).await?;
    if !args.types.is_empty() && !left_out.is_empty() {
        notes.push(format!("left out, for the namespace is not there: {}", left_out.join(", ")));
    }
    if args.types.is_empty() && !objects.iter().any(|object| object["kind"] == "Role") && !args.cluster_wide {
        notes.push("no tool's usual namespace is there: ksit will be able to read nothing".to_owned());
    }
    let wanted = Wanted {
        name: row.cluster.clone(),
        server: row.server.clone(),
        labels: args.label.iter().cloned().collect::<BTreeMap<_, _>>(),
        keeps_labels: true,
        made_by: "target-add",
        secret: None,
    };
    hub.check(&wanted).await?;
    row.objects = objects.iter().map(title).chain(wanted.objects(&hub.hub.namespace)).collect();
    row.message = notes.join("; ");
    Ok(Some(Work { client, objects, entry, wanted }))
}

/// Contexts of one cluster make one target, and two clusters don't share a name.
fn without_doubles(candidates: Vec<Candidate<Work>>) -> Vec<Candidate<Work>> {
    let mut taken: Vec<(String, String, String)> = Vec::new();
    candidates
        .into_iter()
        .map(|candidate| {
            if candidate.work.is_none() {
                return candidate;
            }
            let row = &candidate.row;
            let same_server = taken.iter().find(|(_, server, _)| *server == row.server);
            let same_name = taken.iter().find(|(name, ..)| *name == row.cluster);
            let (result, message) = match (same_server, same_name) {
                (Some((.., from)), _) => (Outcome::Skipped, format!("the same cluster as {from}")),
                (None, Some((.., from))) => {
                    (Outcome::Failed, format!("its name would be that of {from}: add it alone, with --name"))
                }
                (None, None) => {
                    taken.push((row.cluster.clone(), row.server.clone(), row.from.clone()));
                    return candidate;
                }
            };
            Candidate::stopped(candidate.row, result, message)
        })
        .collect()
}
