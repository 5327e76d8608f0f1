//! Writes a cluster's objects on the hub: the IntegrationTarget, and the Secret with its kubeconfig.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::names::is_label;
use crate::api::IntegrationTarget;
use crate::cli::CliError;
use crate::cli::hub::Hub;
use crate::cli::output::print_error;
use crate::cli::shards::{all_maps, unwatched};
use crate::domain::reason::Failure;
use crate::domain::renewal::TOKEN_TTL;
use crate::hub::is_absent;
use crate::targets::kubeconfig::{AllowedProxies, Policy, vet};

/// Field manager of server-side apply, here and on the clusters.
pub(super) const MANAGER: &str = "ksit-target";

/// Label of the Secret and the IntegrationTarget: the command that created them and may change them.
pub(super) const MADE_BY: &str = "ksit.io/made-by";

/// Annotation of both: the cluster that they are for. Another cluster of the same name does not replace them.
pub(super) const SERVER: &str = "ksit.io/server";

/// Key in the created Secret.
const KEY: &str = "kubeconfig";

/// The namespace on the hub where targets are created.
pub(super) struct HubSide {
    pub(super) hub: Hub,
    /// Take over objects created by others.
    pub(super) force: bool,
}

/// The desired state on the hub for one cluster.
pub(super) struct Wanted {
    pub(super) name: String,
    /// URL of its API server.
    pub(super) server: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Keep earlier labels that are not given now.
    pub(super) keeps_labels: bool,
    /// `target-add`, `argocd` or `capi`.
    pub(super) made_by: &'static str,
    /// An existing Secret and its key; if `None`, one is created.
    pub(super) secret: Option<(String, String)>,
    /// `spec.access`, which needs no Secret.
    pub(super) access: Option<Value>,
    /// Lifetime of the token in the created Secret, which the operator renews.
    pub(super) token_ttl: Option<Duration>,
}

/// The Secret that is made for a target.
pub(super) fn secret_name(target: &str) -> String {
    format!("{target}-kubeconfig")
}

impl Wanted {
    fn secret_name(&self) -> String {
        secret_name(&self.name)
    }

    fn makes_secret(&self) -> bool {
        self.secret.is_none() && self.access.is_none()
    }

    /// The objects to create on the hub, for display.
    pub(super) fn objects(&self, namespace: &str) -> Vec<String> {
        let secret = self.makes_secret().then(|| format!("hub: Secret {namespace}/{}", self.secret_name()));
        secret.into_iter().chain([format!("hub: IntegrationTarget {namespace}/{}", self.name)]).collect()
    }
}

impl HubSide {
    /// Checks with a dry run whether [`HubSide::write`] would succeed.
    pub(super) async fn check(&self, wanted: &Wanted) -> Result<(), CliError> {
        let secrets: Api<Secret> = self.hub.api(false);
        let name = wanted.secret_name();
        if wanted.makes_secret()
            && let Some(secret) = secrets.get_opt(&name).await.map_err(|error| self.fault("Secret", &name, &error))?
        {
            self.is_ours(wanted, "Secret", &secret.name_any(), secret.labels(), secret.annotations())?;
        }
        let none = SecretString::from("");
        self.apply(wanted, &none, true).await
    }

    /// Names of the IntegrationTargets that an import from this source has made.
    pub(super) async fn made_by(&self, source: &str) -> Result<Vec<String>, CliError> {
        let targets: Api<IntegrationTarget> = self.hub.api(false);
        let ours = ListParams::default().labels(&format!("{MADE_BY}={source}"));
        let found = targets.list_metadata(&ours).await.map_err(|error| self.hub.fault(&error))?;
        Ok(found.items.iter().map(ResourceExt::name_any).collect())
    }

    /// Whether `made_by` created the target's Secret.
    pub(super) async fn has_secret_of(&self, name: &str, made_by: &str) -> Result<bool, CliError> {
        let (secrets, secret) = (self.hub.api::<Secret>(false), secret_name(name));
        let found = secrets.get_metadata_opt(&secret).await.map_err(|error| self.fault("Secret", &secret, &error))?;
        Ok(found.is_some_and(|found| found.labels().get(MADE_BY).is_some_and(|by| by == made_by)))
    }

    /// Names of the objects that [`Self::delete`] deletes, for display.
    pub(super) fn deleted(&self, name: &str, has_secret: bool) -> Vec<String> {
        let namespace = &self.hub.namespace;
        let secret = has_secret.then(|| format!("hub: Secret {namespace}/{}", secret_name(name)));
        [format!("hub: IntegrationTarget {namespace}/{name}")].into_iter().chain(secret).collect()
    }

    /// Deletes the IntegrationTarget, and its Secret if `made_by` created that.
    pub(super) async fn delete(&self, name: &str, made_by: &str) -> Result<(), CliError> {
        let targets: Api<IntegrationTarget> = self.hub.api(false);
        let params = DeleteParams::default();
        match targets.delete(name, &params).await {
            Err(error) if !is_absent(&error) => return Err(self.fault("IntegrationTarget", name, &error)),
            _ => {}
        }
        if !self.has_secret_of(name, made_by).await? {
            return Ok(());
        }
        let (secrets, secret) = (self.hub.api::<Secret>(false), secret_name(name));
        match secrets.delete(&secret, &params).await {
            Err(error) if !is_absent(&error) => Err(self.fault("Secret", &secret, &error)),
            _ => Ok(()),
        }
    }

    /// Warns on stderr if no installation watches the namespace.
    pub(super) async fn warn_if_unwatched(&self) {
        let maps = all_maps(&self.hub).await;
        if let Some(why) = maps.and_then(|maps| unwatched(&self.hub.namespace, &maps)) {
            print_error(&format!(
                "warning: {why}; choose another namespace with -n, or let an installation watch this one\n"
            ));
        }
    }

    /// Applies both objects (server-side apply).
    pub(super) async fn write(&self, wanted: &Wanted, kubeconfig: &SecretString) -> Result<(), CliError> {
        self.apply(wanted, kubeconfig, false).await
    }

    async fn apply(&self, wanted: &Wanted, kubeconfig: &SecretString, dry_run: bool) -> Result<(), CliError> {
        let targets: Api<IntegrationTarget> = self.hub.api(false);
        let secrets: Api<Secret> = self.hub.api(false);
        let mut labels = wanted.labels.clone();
        let target_fault = |error: kube::Error| self.fault("IntegrationTarget", &wanted.name, &error);
        let there = match targets.get(&wanted.name).await {
            Err(error) if is_absent(&error) => None,
            found => Some(found.map_err(target_fault)?),
        };
        if let Some(target) = there {
            self.is_ours(wanted, "IntegrationTarget", &wanted.name, target.labels(), target.annotations())?;
            if wanted.keeps_labels {
                target.spec.labels.into_iter().flatten().for_each(|(key, value)| {
                    labels.entry(key).or_insert(value);
                });
            }
        }
        let params = PatchParams { dry_run, force: self.force, ..PatchParams::apply(MANAGER) };
        let metadata = |name: &str, labels: &BTreeMap<String, String>| {
            // In the metadata too: `kubectl get -l` sees only those.
            let mut labels: Map<String, Value> =
                labels.iter().filter(|(key, value)| is_free(key, value)).map(|(k, v)| (k.clone(), json!(v))).collect();
            labels.insert(MADE_BY.to_owned(), json!(wanted.made_by));
            json!({ "name": name, "labels": labels, "annotations": { SERVER: wanted.server } })
        };
        if wanted.makes_secret() {
            let name = wanted.secret_name();
            let mut secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata(&name, &BTreeMap::new()),
                "data": { KEY: STANDARD.encode(kubeconfig.expose_secret()) } });
            if let Some(ttl) = wanted.token_ttl.and_then(|ttl| SignedDuration::try_from(ttl).ok()) {
                secret["metadata"]["annotations"][TOKEN_TTL] = json!(format!("{ttl:#}"));
            }
            // Its data may be the operator's, which renews the token.
            let done =
                secrets.patch(&name, &PatchParams { force: true, ..params.clone() }, &Patch::Apply(secret)).await;
            done.map_err(|error| self.fault("Secret", &name, &error))?;
        }
        let mut spec = json!({ "clusterName": wanted.name });
        if let Some(access) = &wanted.access {
            spec["access"] = access.clone();
        } else {
            // Set even where it is the default: an existing target may name another Secret.
            let (secret, key) = wanted.secret.clone().unwrap_or_else(|| (wanted.secret_name(), KEY.to_owned()));
            spec["kubeconfigSecretRef"] = json!({ "name": secret, "key": key });
        }
        if !labels.is_empty() {
            spec["labels"] = json!(labels);
        }
        let target = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": metadata(&wanted.name, &labels), "spec": spec });
        targets.patch(&wanted.name, &params, &Patch::Apply(target)).await.map_err(target_fault)?;
        Ok(())
    }

    fn fault(&self, kind: &str, name: &str, error: &kube::Error) -> CliError {
        let is_conflict = matches!(error, kube::Error::Api(status) if status.code == 409);
        let hint = if is_conflict { "; --force takes the field over" } else { "" };
        format!("hub: {kind} {}/{name}: {}{hint}", self.hub.namespace, self.hub.fault(error)).into()
    }

    fn is_ours(
        &self,
        wanted: &Wanted,
        kind: &str,
        name: &str,
        labels: &BTreeMap<String, String>,
        annotations: &BTreeMap<String, String>,
    ) -> Result<(), CliError> {
        if self.force {
            return Ok(());
        }
        let object = format!("hub: {kind} {}/{name}", self.hub.namespace);
        match labels.get(MADE_BY) {
            Some(by) if by == wanted.made_by => {}
            Some(by) => return Err(format!("{object} was created by {by}: --force takes it over").into()),
            None => return Err(format!("{object} exists and was not created by ksit: --force takes it over").into()),
        }
        match annotations.get(SERVER) {
            Some(server) if *server != wanted.server => Err(format!(
                "{object} is for another server, {server}: give this cluster another name, or use --force if it has moved"
            )
            .into()),
            _ => Ok(()),
        }
    }
}

/// A valid label that is not one of ksit's own.
fn is_free(key: &str, value: &str) -> bool {
    is_label(key, value) && !key.starts_with("ksit.io/")
}

/// A kubeconfig with only the fields that ksit accepts, as JSON, which is valid YAML.
///
/// `cluster` and `user` are the entries of a kubeconfig.
pub(super) fn kubeconfig(name: &str, cluster: &Value, user: &Value) -> SecretString {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{ "name": name, "context": { "cluster": name, "user": "ksit" } }],
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": "ksit", "user": user }],
    });
    SecretString::from(format!("{config:#}\n"))
}

/// Rejects a kubeconfig that the operator would reject. An address or a proxy that depends on where and how the operator
/// runs is accepted with a note.
pub(super) fn acceptable(kubeconfig: &[u8]) -> Result<Option<String>, Failure> {
    vet(kubeconfig, &Policy { allow_loopback: true, proxies: AllowedProxies::any(), ..Policy::default() })?;
    let elsewhere = Policy { proxies: AllowedProxies::any(), ..Policy::default() };
    let notes = [elsewhere, Policy { allow_loopback: true, ..Policy::default() }]
        .into_iter()
        .filter_map(|policy| vet(kubeconfig, &policy).err())
        .map(|failure| failure.message);
    let notes: Vec<String> = notes.collect();
    Ok((!notes.is_empty()).then(|| notes.join("; ")))
}
