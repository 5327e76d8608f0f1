//! `ksit target add`

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use futures::{StreamExt, stream};
use kube::Client;
use kube::config::Kubeconfig;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::execute::{CONCURRENCY, Candidate, Consent, Outcome, Row, execute};
use super::hub_side::{HubSide, Wanted, acceptable, kubeconfig};
use super::names::{is_label, matches, object_name};
use super::target_side::{
    Account, Created, Scope, ToolNamespace, Verified, apply, client, cluster_entry, config, has_endless_token, objects,
    title, verify,
};
use crate::cli::hub::BesideClusters;
use crate::cli::{CliError, duration, key_value, tool};
use crate::domain::renewal::SHORTEST_TTL;

/// Give ksit an account on clusters of your kubeconfig, and register them on the hub.
///
/// With your own credentials (exec plugins run, so EKS, GKE and AKS work) it creates
///   on each cluster  the Namespace ksit with a ServiceAccount and its token, and Roles to read
///                    tools: the same as deploy/target/
///   on the hub       the Secret NAME-kubeconfig with server, CA and that token, and the
///                    IntegrationTarget NAME
/// It shows the plan and asks first. You can run it again: existing objects stay, rights and
/// labels are added. Objects created by others are not changed without --force. The token is tried
/// at the address that the hub will use; if it is refused, or anything else fails, what was created
/// is deleted again. If one cluster fails, the others continue. ksit target remove undoes it. Exits
/// with 0, 1 if a cluster failed, 2 if nothing was attempted.
///
/// Examples:
///   ksit target add --context berlin --hub-context hub -n ksit-system
///   ksit target add --all-contexts --dry-run
///   ksit target add --selector 'prod-*' --label env=prod --yes
///   ksit target add --context berlin --token-ttl 24h
///   ksit target add --context kind-a --name a --server https://a-control-plane:6443
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
#[group(id = "clusters", required = true, multiple = false, args = ["context", "all_contexts", "selector"])]
pub struct Args {
    /// Context of a cluster; may be repeated.
    #[arg(long, value_name = "NAME")]
    context: Vec<String>,
    /// Add every context except the hub's.
    #[arg(long)]
    all_contexts: bool,
    /// Add contexts whose name matches, except the hub's: * matches any characters, ? matches one. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    selector: Vec<String>,
    /// Name of the cluster on the hub; default: derived from the context's name. Needs exactly one --context.
    #[arg(long)]
    name: Option<String>,
    /// URL under which the hub reaches the API server, if it differs from yours. Needs exactly one --context.
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// Label for the clusters, to match targetSelector of Integrations; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Tool that ksit may read, with its namespace if that is not the usual one; may be repeated. Default: every known
    /// tool whose usual namespace exists now, except those in kube-system, which always exists.
    #[arg(long = "type", value_name = "TOOL[=NAMESPACE]", value_parser = tool_namespace, conflicts_with = "cluster_wide")]
    types: Vec<ToolNamespace>,
    /// Make a token that ends after this time, and have the operator renew it, in place of one that never ends. At least
    /// 10m. Needs --renew-tokens of the operator (config.renewTokens of its chart).
    #[arg(long, value_name = "DURATION", value_parser = token_ttl)]
    token_ttl: Option<Duration>,
    /// Let ksit read workloads, Services and CRDs in all namespaces: for `type: custom` and tools in other namespaces.
    #[arg(long)]
    cluster_wide: bool,
    #[command(flatten)]
    hub: BesideClusters,
    #[command(flatten)]
    consent: Consent,
}

fn token_ttl(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        ttl if ttl < SHORTEST_TTL => Err("API servers make no tokens that last less than 10m".to_owned()),
        ttl => Ok(ttl),
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = key_value(text)?;
    if is_label(&key, &value) {
        return Ok((key, value));
    }
    Err("not a valid Kubernetes label: use letters, digits, '-', '_' and '.', at most 63 in key and value each"
        .to_owned())
}

fn tool_namespace(text: &str) -> Result<ToolNamespace, String> {
    let (name, namespace) = text.split_once('=').map_or((text, None), |(name, namespace)| (name, Some(namespace)));
    let tool = tool(name)?;
    Ok(ToolNamespace { tool, namespace: namespace.unwrap_or(&tool.namespace).to_owned() })
}

/// Everything needed to add one cluster.
struct Work {
    client: Client,
    objects: Vec<Value>,
    /// The `cluster` entry of the new kubeconfig.
    entry: Value,
    wanted: Wanted,
}

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if (args.name.is_some() || args.server.is_some()) && args.context.len() != 1 {
        return Err("--name and --server need exactly one --context, to which they apply".into());
    }
    let hub_flags = args.hub.flags();
    let file = hub_flags.file()?;
    let hub = HubSide { hub: hub_flags.hub().await?, force: args.consent.force };
    let contexts = contexts(&args, &file)?;
    hub.warn_if_unwatched().await;
    let scope = match (args.cluster_wide, args.types.as_slice()) {
        (true, _) => Scope::ClusterWide,
        (false, []) => Scope::Found,
        (false, tool_namespaces) => Scope::These(tool_namespaces.to_vec()),
    };
    let account = &Account { scope, token_ttl: args.token_ttl };
    let (hub, file) = (&hub, &file);
    let candidates: Vec<Candidate<Work>> = stream::iter(&contexts)
        .map(|context| candidate(context, &args, file, account, hub))
        .buffered(CONCURRENCY)
        .collect()
        .await;
    let candidates = deduplicated(candidates);
    execute(&args.consent, "Create", candidates, async |work: Work| {
        let mut created = Created::default();
        let done = carry_out(&work, account, hub, args.hub.request_timeout, &mut created).await;
        if done.is_err() {
            created.take_back().await;
        }
        done.map(|note| (Outcome::Added, note))
    })
    .await
}

/// Creates the account, tries its token, and registers the cluster on the hub. `created`: what was absent before.
async fn carry_out(
    work: &Work,
    account: &Account,
    hub: &HubSide,
    deadline: Duration,
    created: &mut Created,
) -> Result<Option<String>, CliError> {
    apply(&work.client, &work.objects, hub.force, created).await?;
    let token = account.token(&work.client).await?;
    let user = json!({ "token": token.expose_secret() });
    let kubeconfig = kubeconfig(&work.wanted.name, &work.entry, &user);
    let note = match verify(&kubeconfig, deadline).await? {
        Verified::Yes => None,
        Verified::NotReached(why) => Some(format!("the token was not tried, because it can't be from here: {why}")),
    };
    hub.write(&work.wanted, &kubeconfig).await?;
    Ok(note)
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
        return Err(format!("no context matches; available: {}", all.join(", ")).into());
    }
    Ok(found)
}

/// Plans the work for one cluster: reads the cluster and the hub, writes nothing.
async fn candidate(context: &str, args: &Args, file: &Kubeconfig, account: &Account, hub: &HubSide) -> Candidate<Work> {
    let mut row = Row::planned(context, format!("context {context}"));
    match prepare(&mut row, context, args, file, account, hub).await {
        Ok(Some(work)) => Candidate { row, work: Some(work) },
        Ok(None) => Candidate::stopped(row, Outcome::Skipped, "this is the hub; use --context to add it"),
        Err(error) => Candidate::stopped(row, Outcome::Failed, error.to_string()),
    }
}

/// `None` if the cluster is the hub and was not named with --context.
async fn prepare(
    row: &mut Row,
    context: &str,
    args: &Args,
    file: &Kubeconfig,
    account: &Account,
    hub: &HubSide,
) -> Result<Option<Work>, CliError> {
    let config = config(context, file).await?;
    let own_server = config.cluster_url.to_string();
    row.server = args.server.clone().unwrap_or_else(|| own_server.trim_end_matches('/').to_owned());
    if own_server == hub.hub.server && args.context.is_empty() {
        return Ok(None);
    }
    row.cluster = object_name(args.name.as_deref().unwrap_or(context))?;
    let entry = cluster_entry(file, context, &config, &row.server);
    // Before anything is created: would the operator accept it?
    let trial = kubeconfig(&row.cluster, &entry, &json!({ "token": "t" }));
    let note = acceptable(trial.expose_secret().as_bytes())?;
    let mut notes: Vec<String> = note.map(|note| format!("{note} with --server")).into_iter().collect();
    let client = client(config, args.hub.request_timeout)?;
    let (objects, left_out) = objects(&client, account).await?;
    if !args.types.is_empty() && !left_out.is_empty() {
        notes.push(format!("left out, because the namespace does not exist: {}", left_out.join(", ")));
    }
    if args.types.is_empty() && !objects.iter().any(|object| object["kind"] == "Role") && !args.cluster_wide {
        notes.push("no tool's usual namespace exists: ksit will not be able to read anything".to_owned());
    }
    if args.token_ttl.is_some() {
        notes.push("the token is renewed by an operator with --renew-tokens".to_owned());
        if has_endless_token(&client).await? {
            notes.push(
                "Secret ksit/ksit-token on the cluster has a token without end: delete it if nothing else uses it"
                    .to_owned(),
            );
        }
    }
    let wanted = Wanted {
        name: row.cluster.clone(),
        server: row.server.clone(),
        labels: args.label.iter().cloned().collect::<BTreeMap<_, _>>(),
        keeps_labels: true,
        made_by: "target-add",
        secret: None,
        access: None,
        token_ttl: args.token_ttl,
    };
    hub.check(&wanted).await?;
    row.objects = objects.iter().map(title).chain(wanted.objects(&hub.hub.namespace)).collect();
    row.message = notes.join("; ");
    Ok(Some(Work { client, objects, entry, wanted }))
}

/// Skips further contexts of the same cluster, and fails clusters whose name is taken.
fn deduplicated(candidates: Vec<Candidate<Work>>) -> Vec<Candidate<Work>> {
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
                (None, Some((.., from))) => (
                    Outcome::Failed,
                    format!("its name would be the same as that of {from}: add it separately, with --name"),
                ),
                (None, None) => {
                    taken.push((row.cluster.clone(), row.server.clone(), row.from.clone()));
                    return candidate;
                }
            };
            Candidate::stopped(candidate.row, result, message)
        })
        .collect()
}
