//! ksit's account on a cluster, made with the user's own credentials.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::Kubeconfig;
use kube::core::GroupVersionKind;
use kube::{Client, Config, ResourceExt};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::hub_side::MANAGER;
use crate::cli::CliError;
use crate::cli::hub::{PATIENCE_FOR_PLUGIN, hint};
use crate::cli::own_kubeconfig::{self, NO_PROXY, pem};
use crate::cli::rights;
use crate::domain::integrations::{TOOLS, Tool};
use crate::hub::{cause, with_deadline};

/// A cluster's controller fills the token in within moments.
const PATIENCE_FOR_TOKEN: Duration = Duration::from_secs(30);

/// That this namespace is there says nothing about a tool.
const EVERYWHERE: &str = "kube-system";

/// A tool, and the namespace where it is to be read.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) tool: &'static Tool,
    pub(super) namespace: String,
}

/// What ksit shall be able to read.
pub(super) enum Scope {
    /// Every tool whose usual namespace is there, but those in `kube-system`.
    Found,
    These(Vec<Place>),
    ClusterWide,
}

/// How a context of the user's kubeconfig is reached. Refuses what could not be handed on safely.
pub(super) async fn config(context: &str, kubeconfig: &Kubeconfig) -> Result<Config, CliError> {
    let config = own_kubeconfig::config(kubeconfig, Some(context)).await?;
    if config.accept_invalid_certs {
        return Err("insecure-skip-tls-verify is refused: the new token would go to whoever answers; give \
                    certificate-authority-data instead"
            .into());
    }
    if config.proxy_url.is_some() {
        return Err(NO_PROXY.into());
    }
    Ok(own_kubeconfig::resolve(config, PATIENCE_FOR_PLUGIN).await?)
}

/// A client with an end for each request.
pub(super) fn client(config: Config, deadline: Duration) -> Result<Client, CliError> {
    let client = Client::try_from(config).map_err(|error| fault(&error))?;
    Ok(with_deadline(client, deadline))
}

fn fault(error: &kube::Error) -> CliError {
    format!("the cluster {}{}", cause(error), hint(error)).into()
}

/// The `cluster` entry of the kubeconfig that ksit gets: server, CA and server name of the user's own.
pub(super) fn cluster_entry(config: &Config, server: &str) -> Result<Value, CliError> {
    let ca: String = config.root_cert.iter().flatten().map(|der| pem(der)).collect();
    if ca.is_empty() {
        return Err("certificate-authority-data is missing: ksit trusts only the CA in a kubeconfig, so put the one \
                    that signed the server's certificate there"
            .into());
    }
    let mut entry = json!({ "server": server, "certificate-authority-data": STANDARD.encode(ca) });
    if let Some(name) = &config.tls_server_name {
        entry["tls-server-name"] = json!(name);
    }
    Ok(entry)
}

/// What is made on the cluster, and tools left out because their namespace isn't there.
pub(super) async fn objects(client: &Client, scope: &Scope) -> Result<(Vec<Value>, Vec<String>), CliError> {
    let mut texts = vec![rights::READER.to_owned()];
    let mut left_out = Vec::new();
    let places = match scope {
        Scope::ClusterWide => {
            texts.push(rights::CLUSTER_WIDE.to_owned());
            Vec::new()
        }
        Scope::These(places) => places.clone(),
        Scope::Found => TOOLS
            .iter()
            .filter(|tool| tool.namespace != EVERYWHERE)
            .map(|tool| Place { tool, namespace: tool.namespace.to_owned() })
            .collect(),
    };
    if !places.is_empty() {
        let api: Api<Namespace> = Api::all(client.clone());
        let found = api.list_metadata(&ListParams::default()).await.map_err(|error| fault(&error))?;
        let there: BTreeSet<String> = found.items.iter().map(ResourceExt::name_any).collect();
        for Place { tool, namespace } in places {
            if there.contains(&namespace) {
                texts.push(rights::of_tool(tool, &namespace));
            } else {
                left_out.push(format!("{}={namespace}", tool.name));
            }
        }
    }
    let parsed = texts.iter().map(|text| serde_saphyr::from_multiple(text)).collect::<Result<Vec<Vec<Value>>, _>>();
    let parsed = parsed.map_err(|error| format!("the manifests of rights: {error}"))?;
    Ok((parsed.into_iter().flatten().collect(), left_out))
}

/// What an object is called in the plan.
pub(super) fn title(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (word(&object["kind"]), word(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("cluster: {kind} {namespace}/{name}"),
        None => format!("cluster: {kind} {name}"),
    }
}

/// Server-side apply of all objects, in their order.
pub(super) async fn apply(client: &Client, objects: &[Value], force: bool) -> Result<(), CliError> {
    for object in objects {
        let (group, version) = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').unwrap_or(("", "v1"));
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
            None => Api::all_with(client.clone(), &resource),
        };
        let params = PatchParams { force, ..PatchParams::apply(MANAGER) };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(name, &params, &Patch::Apply(object)).await.map_err(|error| {
            let is_conflict = matches!(&error, kube::Error::Api(status) if status.code == 409);
            let hint = if is_conflict { "; --force takes the field over" } else { "" };
            format!("{}: {}{hint}", title(object), fault(&error))
        })?;
    }
    Ok(())
}

/// The account's token, once the cluster has filled it in.
pub(super) async fn token(client: &Client) -> Result<SecretString, CliError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), rights::NAMESPACE);
    let start = Instant::now();
    loop {
        let secret = api.get(rights::TOKEN_SECRET).await.map_err(|error| fault(&error))?;
        if let Some(token) = secret.data.as_ref().and_then(|data| data.get("token")) {
            let token = String::from_utf8(token.0.clone()).map_err(|_| "cluster: the account's token is not text")?;
            return Ok(token.into());
        }
        if start.elapsed() > PATIENCE_FOR_TOKEN {
            return Err(format!(
                "cluster: Secret {}/{} got no token within {} s: is its kube-controller-manager running?",
                rights::NAMESPACE,
                rights::TOKEN_SECRET,
                PATIENCE_FOR_TOKEN.as_secs()
            )
            .into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}
