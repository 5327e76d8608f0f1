//! Creates ksit's account on a cluster, with the user's own credentials.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::config::Kubeconfig;
use kube::core::GroupVersionKind;
use kube::{Client, Config, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::hub_side::MANAGER;
use crate::api::catalogue;
use crate::cli::CliError;
use crate::cli::hub::{PLUGIN_TIMEOUT, hint};
use crate::cli::own_kubeconfig::{self, pem};
use crate::cli::rights;
use crate::domain::integrations::Tool;
use crate::domain::reason::Reason;
use crate::domain::snapshot::{ObjectRef, Query};
use crate::hub::{cause, with_deadline};
use crate::targets::kubeconfig::{AllowedProxies, Policy, vet};
use crate::targets::{Cluster, Limits, Reflector, Settings, Standing};

/// The cluster's token controller normally fills in the token within moments.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Exists on every cluster, so its presence does not indicate a tool.
const ALWAYS_EXISTS: &str = "kube-system";

/// A tool and the namespace to read it in.
#[derive(Clone, Debug)]
pub(super) struct ToolNamespace {
    pub(super) tool: &'static Tool,
    pub(super) namespace: String,
}

/// The tools that ksit gets the right to read.
pub(super) enum Scope {
    /// Every tool whose usual namespace exists, except those in `kube-system`.
    Found,
    These(Vec<ToolNamespace>),
    ClusterWide,
}

/// ksit's account on a cluster.
pub(super) struct Account {
    /// Tools that it may read.
    pub(super) scope: Scope,
    /// Lifetime of its token; `None`: one without end.
    pub(super) token_ttl: Option<Duration>,
}

impl Account {
    /// A token of the account.
    pub(super) async fn token(&self, client: &Client) -> Result<SecretString, CliError> {
        match self.token_ttl {
            None => endless_token(client).await,
            Some(ttl) => token_of(client, ttl).await,
        }
    }
}

/// The configuration of a context in the user's kubeconfig. Refuses settings that can't be passed to ksit safely.
pub(super) async fn config(context: &str, kubeconfig: &Kubeconfig) -> Result<Config, CliError> {
    let config = own_kubeconfig::config(kubeconfig, Some(context)).await?;
    if config.accept_invalid_certs {
        return Err("insecure-skip-tls-verify is refused: the new token would go to whoever answers; give \
                    certificate-authority-data instead"
            .into());
    }
    Ok(own_kubeconfig::resolve(config, PLUGIN_TIMEOUT).await?)
}

/// A client with a deadline for each request.
pub(super) fn client(config: Config, deadline: Duration) -> Result<Client, CliError> {
    let client = Client::try_from(config).map_err(|error| fault(&error))?;
    Ok(with_deadline(client, deadline))
}

pub(super) fn fault(error: &kube::Error) -> CliError {
    format!("the cluster {}{}", cause(error), hint(error)).into()
}

/// The `cluster` entry of ksit's kubeconfig: `server`, and CA, server name and proxy from the user's kubeconfig. Without
/// a CA the operator verifies the server with public ones.
pub(super) fn cluster_entry(kubeconfig: &Kubeconfig, context: &str, config: &Config, server: &str) -> Value {
    let mut entry = json!({ "server": server });
    let ca: String = config.root_cert.iter().flatten().map(|der| pem(der)).collect();
    if !ca.is_empty() {
        entry["certificate-authority-data"] = json!(STANDARD.encode(ca));
    }
    if let Some(name) = &config.tls_server_name {
        entry["tls-server-name"] = json!(name);
    }
    // Not that of the environment, which is another on the hub.
    if let Some(proxy) = own_kubeconfig::proxy_url(kubeconfig, context) {
        entry["proxy-url"] = json!(proxy);
    }
    entry
}

/// The objects to create on the cluster, and the tools left out because their namespace does not exist.
pub(super) async fn objects(client: &Client, account: &Account) -> Result<(Vec<Value>, Vec<String>), CliError> {
    let mut texts = vec![rights::READER.to_owned()];
    texts.extend(account.token_ttl.map(|_| rights::TOKEN_RENEWAL.to_owned()));
    let mut left_out = Vec::new();
    let tool_namespaces = match &account.scope {
        Scope::ClusterWide => {
            texts.push(rights::cluster_wide());
            Vec::new()
        }
        Scope::These(tool_namespaces) => tool_namespaces.clone(),
        Scope::Found => catalogue::tools()
            .iter()
            .filter(|tool| tool.namespace != ALWAYS_EXISTS)
            .map(|tool| ToolNamespace { tool, namespace: tool.namespace.clone() })
            .collect(),
    };
    let mut there = BTreeSet::from([rights::NAMESPACE.to_owned()]);
    if !tool_namespaces.is_empty() {
        let api: Api<Namespace> = Api::all(client.clone());
        let found = api.list_metadata(&ListParams::default()).await.map_err(|error| fault(&error))?;
        there.extend(found.items.iter().map(ResourceExt::name_any));
        for ToolNamespace { tool, namespace } in tool_namespaces {
            if there.contains(&namespace) {
                texts.push(rights::of_tool(tool, &namespace));
            } else {
                left_out.push(format!("{}={namespace}", tool.name));
            }
        }
    }
    let parsed = texts.iter().map(|text| serde_saphyr::from_multiple(text)).collect::<Result<Vec<Vec<Value>>, _>>();
    let parsed = parsed.map_err(|error| format!("the built-in RBAC manifests: {error}"))?;
    // A tool may have parts in namespaces that this cluster lacks.
    let is_possible =
        |object: &Value| object["metadata"]["namespace"].as_str().is_none_or(|namespace| there.contains(namespace));
    let is_wanted = |object: &Value| account.token_ttl.is_none() || object["kind"] != "Secret";
    Ok((parsed.into_iter().flatten().filter(is_possible).filter(is_wanted).collect(), left_out))
}

/// The name of an object in the plan.
pub(super) fn title(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (kind, name) = (word(&object["kind"]), word(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("cluster: {kind} {namespace}/{name}"),
        None => format!("cluster: {kind} {name}"),
    }
}

/// Objects that this run has created on a cluster, in order.
#[derive(Default)]
pub(super) struct Created(Vec<(Api<DynamicObject>, String)>);

impl Created {
    /// Deletes it again, last first. Failures are ignored: the user learns why the run itself failed.
    pub(super) async fn take_back(self) {
        for (api, name) in self.0.into_iter().rev() {
            drop(api.delete(&name, &DeleteParams::default()).await);
        }
    }
}

/// The API for an object, and its name.
pub(super) fn api_of(client: &Client, object: &Value) -> (Api<DynamicObject>, String) {
    let (group, version) = object["apiVersion"].as_str().unwrap_or_default().rsplit_once('/').unwrap_or(("", "v1"));
    let kind = object["kind"].as_str().unwrap_or_default();
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    let api = match object["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    (api, object["metadata"]["name"].as_str().unwrap_or_default().to_owned())
}

/// Applies all objects in order (server-side apply), and adds those that were absent to `created`.
pub(super) async fn apply(
    client: &Client,
    objects: &[Value],
    force: bool,
    created: &mut Created,
) -> Result<(), CliError> {
    for object in objects {
        let (api, name) = api_of(client, object);
        let params = PatchParams { force, ..PatchParams::apply(MANAGER) };
        let failed = |error: kube::Error| {
            let is_conflict = matches!(&error, kube::Error::Api(status) if status.code == 409);
            let hint = if is_conflict { "; --force takes the field over" } else { "" };
            format!("{}: {}{hint}", title(object), fault(&error))
        };
        let is_absent = api.get_metadata_opt(&name).await.map_err(failed)?.is_none();
        api.patch(&name, &params, &Patch::Apply(object)).await.map_err(failed)?;
        if is_absent {
            created.0.push((api, name));
        }
    }
    Ok(())
}

/// Whether the API server that ksit's kubeconfig names takes its token.
pub(super) enum Verified {
    /// Yes.
    Yes,
    /// It can't be reached from here; the cause.
    NotReached(String),
}

/// Asks the API server of `entry` once with the new token, as the operator will.
///
/// # Errors
/// The server refuses the token, or shows a certificate that the operator will not trust.
pub(super) async fn verify(kubeconfig: &SecretString, deadline: Duration) -> Result<Verified, CliError> {
    let policy = Policy { allow_loopback: true, proxies: AllowedProxies::any(), ..Policy::default() };
    let connection = vet(kubeconfig.expose_secret().as_bytes(), &policy)?;
    let limits = Arc::new(Limits::new(Settings { round_timeout: deadline, ..Settings::default() }));
    // Any request of an authenticated user does, whatever that user may read.
    let question = BTreeSet::from([Query::Object(ObjectRef::namespace(rights::NAMESPACE))]);
    match Reflector::read(&Cluster::new(connection, limits), &question, Standing::Healthy).await {
        Ok(_) => Ok(Verified::Yes),
        Err(failure) if failure.reason == Reason::Unauthorized => Err(format!(
            "{}: a gateway that authenticates by itself does not know ServiceAccounts; give the cluster's own address \
             with --server",
            failure.message
        )
        .into()),
        Err(failure) if failure.reason.is_transient() || failure.reason == Reason::NameNotResolved => {
            Ok(Verified::NotReached(failure.message))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// Whether the account has a token without end, from an earlier run.
pub(super) async fn has_endless_token(client: &Client) -> Result<bool, CliError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), rights::NAMESPACE);
    let found = api.get_metadata_opt(rights::TOKEN_SECRET).await.map_err(|error| fault(&error))?;
    Ok(found.is_some())
}

/// A token of the account that ends after `ttl`, or earlier if the cluster grants no more.
async fn token_of(client: &Client, ttl: Duration) -> Result<SecretString, CliError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), rights::NAMESPACE);
    let expiration_seconds = i64::try_from(ttl.as_secs()).ok();
    let spec = TokenRequestSpec { expiration_seconds, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec: Some(spec), ..TokenRequest::default() };
    let made = api.create_token_request(rights::ACCOUNT, &PostParams::default(), &request).await;
    let made = made.map_err(|error| format!("TokenRequest for ServiceAccount ksit/ksit: {}", fault(&error)))?;
    let token = made.status.and_then(|status| status.token).filter(|token| !token.is_empty());
    Ok(token.ok_or("cluster: it made no token of ServiceAccount ksit/ksit")?.into())
}

/// Waits until the cluster has filled in the account's token, and returns it.
async fn endless_token(client: &Client) -> Result<SecretString, CliError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), rights::NAMESPACE);
    let start = Instant::now();
    loop {
        let secret = api.get(rights::TOKEN_SECRET).await.map_err(|error| fault(&error))?;
        if let Some(token) = secret.data.as_ref().and_then(|data| data.get("token")) {
            let token = String::from_utf8(token.0.clone()).map_err(|_| "cluster: the account's token is not text")?;
            return Ok(token.into());
        }
        if start.elapsed() > TOKEN_TIMEOUT {
            return Err(format!(
                "cluster: Secret {}/{} got no token within {} s: is its kube-controller-manager running?",
                rights::NAMESPACE,
                rights::TOKEN_SECRET,
                TOKEN_TIMEOUT.as_secs()
            )
            .into());
        }
        sleep(Duration::from_millis(200)).await;
    }
}
