//! `ksit target remove`

use std::process::ExitCode;

use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::{Api, DeleteParams, ListParams};
use kube::config::Kubeconfig;
use kube::core::ObjectMeta;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::execute::{Candidate, Consent, Outcome, Row, execute};
use super::hub_side::{HubSide, MADE_BY, MANAGER, SERVER};
use super::target_side::{api_of, client, config, fault, title};
use crate::api::IntegrationTarget;
use crate::cli::hub::BesideClusters;
use crate::cli::{CliError, own_kubeconfig, rights};
use crate::hub::is_absent;

/// Unregister clusters, and delete what `ksit target add` created for them.
///
/// On the hub it deletes the IntegrationTarget and its Secret; on the cluster, with your own
/// credentials, ksit's account and its Roles. Objects of others stay. It shows the plan and asks
/// first. Exits with 0, 1 if a cluster failed, 2 if nothing was attempted.
///
/// Examples:
///   ksit target remove berlin                   the context is found by the server's address
///   ksit target remove berlin --context eu/berlin
///   ksit target remove berlin --hub-only        the cluster is gone, or is not yours to change
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Names of IntegrationTargets.
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Context of the cluster; default: the one whose server has the address that the target was added with.
    #[arg(long, value_name = "NAME", conflicts_with = "hub_only")]
    context: Option<String>,
    /// Leave the cluster as it is.
    #[arg(long)]
    hub_only: bool,
    #[command(flatten)]
    hub: BesideClusters,
    #[command(flatten)]
    consent: Consent,
}

/// A target to delete, and what `ksit target add` has created on its cluster, in the order to delete it.
struct Work {
    name: String,
    cluster: Vec<(Client, Value)>,
}

/// The maker of all that is removed.
const MAKER: &str = "target-add";

pub(super) async fn run(args: Args) -> Result<ExitCode, CliError> {
    if args.context.is_some() && args.names.len() != 1 {
        return Err("--context needs exactly one name, to which it applies".into());
    }
    let flags = args.hub.flags();
    let file = flags.file()?;
    let hub = HubSide { hub: flags.hub().await?, force: args.consent.force };
    let mut candidates = Vec::new();
    for name in &args.names {
        let mut row = Row::planned(name, String::new());
        candidates.push(match prepare(&mut row, name, &args, &file, &hub).await {
            Ok(work) => Candidate { row, work: Some(work) },
            Err(error) => Candidate::stopped(row, Outcome::Failed, error.to_string()),
        });
    }
    execute(&args.consent, "Delete", candidates, async |work: Work| {
        // First on the hub: a cluster that is still checked would be reported as broken.
        hub.delete(&work.name, MAKER).await?;
        for (client, object) in &work.cluster {
            let (api, name) = api_of(client, object);
            match api.delete(&name, &DeleteParams::default()).await {
                Err(error) if !is_absent(&error) => return Err(format!("{}: {}", title(object), fault(&error)).into()),
                _ => {}
            }
        }
        Ok((Outcome::Removed, None))
    })
    .await
}

async fn prepare(
    row: &mut Row,
    name: &str,
    args: &Args,
    file: &Kubeconfig,
    hub_side: &HubSide,
) -> Result<Work, CliError> {
    let hub = &hub_side.hub;
    let on_hub = |error: kube::Error| CliError::from(format!("hub: {}", hub.fault(&error)));
    let targets: Api<IntegrationTarget> = hub.api(false);
    let target = match targets.get(name).await {
        Err(error) if is_absent(&error) => {
            return Err(format!("there is no IntegrationTarget {name} in namespace {}", hub.namespace).into());
        }
        found => found.map_err(on_hub)?,
    };
    let is_ours = target.labels().get(MADE_BY).is_some_and(|by| by == MAKER);
    if !is_ours && !args.consent.force {
        return Err("it was not created by ksit target add: --force removes it".into());
    }
    row.server = target.annotations().get(SERVER).cloned().unwrap_or_default();
    row.objects = hub_side.deleted(name, hub_side.has_secret_of(name, MAKER).await?);
    let name = name.to_owned();
    if args.hub_only {
        row.from = "the hub only".to_owned();
        return Ok(Work { name, cluster: Vec::new() });
    }
    let context = match &args.context {
        Some(context) => context.clone(),
        None => context_of(&row.server, file).await.ok_or_else(|| {
            format!("no context of the kubeconfig has the server {}: give --context, or --hub-only", row.server)
        })?,
    };
    row.from = format!("context {context}");
    let client = client(config(&context, file).await?, args.hub.request_timeout)?;
    let objects = created(&client).await?;
    row.objects.extend(objects.iter().map(title));
    let on_the_cluster = objects.into_iter().map(|object| (client.clone(), object)).collect();
    Ok(Work { name, cluster: on_the_cluster })
}

/// The first context with this server.
async fn context_of(server: &str, file: &Kubeconfig) -> Option<String> {
    let mut found = None;
    for named in &file.contexts {
        let Ok(config) = own_kubeconfig::config(file, Some(&named.name)).await else { continue };
        if config.cluster_url.to_string().trim_end_matches('/') == server {
            found = Some(named.name.clone());
            break;
        }
    }
    found
}

/// Objects that `ksit target add` has applied on the cluster: rights first, the Namespace with the account last.
async fn created(client: &Client) -> Result<Vec<Value>, CliError> {
    let mut all = ours::<RoleBinding>(Api::all(client.clone())).await?;
    all.extend(ours::<Role>(Api::all(client.clone())).await?);
    all.extend(ours::<ClusterRoleBinding>(Api::all(client.clone())).await?);
    all.extend(ours::<ClusterRole>(Api::all(client.clone())).await?);
    all.extend(ours::<Secret>(Api::namespaced(client.clone(), rights::NAMESPACE)).await?);
    let accounts = ours::<ServiceAccount>(Api::namespaced(client.clone(), rights::NAMESPACE)).await?;
    // A Namespace without fields of its own has no field manager: it goes with the account in it.
    let namespace = (!accounts.is_empty()).then(|| reference::<Namespace>(None, rights::NAMESPACE));
    Ok(all.into_iter().chain(accounts).chain(namespace).collect())
}

/// The objects of a kind that `ksit target add` has applied.
async fn ours<K>(api: Api<K>) -> Result<Vec<Value>, CliError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let found = api.list_metadata(&ListParams::default()).await.map_err(|error| fault(&error))?;
    let ours = found.items.into_iter().filter(|object| is_ours(&object.metadata));
    Ok(ours.map(|object| reference::<K>(object.namespace().as_deref(), &object.name_any())).collect())
}

fn is_ours(metadata: &ObjectMeta) -> bool {
    let managers = metadata.managed_fields.iter().flatten();
    managers.filter_map(|entry| entry.manager.as_deref()).any(|manager| manager == MANAGER)
}

/// An object by its name alone.
fn reference<K: Resource<DynamicType = ()>>(namespace: Option<&str>, name: &str) -> Value {
    let mut object = json!({ "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name } });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}
