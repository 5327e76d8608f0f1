//! Reads the kubeconfig of a target from its Secret. `get` only, unless the user wants Secrets watched.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::{Stream, StreamExt, future};
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Event, watcher};
use kube::{Api, Client, ResourceExt};

use super::backoff::with_backoff;
use super::watch::{Change, config, key_of, or_warned};

use crate::domain::desired::DesiredTarget;
use crate::domain::reason::{Failure, Reason};

/// Where a kubeconfig is looked for when the target names no key, in this order.
const USUAL_KEYS: [&str; 3] = ["kubeconfig", "value", "value.yaml"];

/// A hub that does not answer must not hold up the round of a target for ever.
const DEADLINE: Duration = Duration::from_secs(5);

/// A Secret without its data. Annotations may hold a copy of it (`kubectl apply` leaves one): only the version is to be
/// kept, and nothing else ever shown.
pub type SecretMetadata = PartialObjectMeta<Secret>;

/// A kubeconfig as it was stored. Not vetted, and never printed.
pub struct KubeconfigSecret {
    pub resource_version: String,
    pub bytes: Vec<u8>,
}

/// What is wrong: with the Secret (said on the target), or with the hub (tried again, nothing said).
#[derive(Debug)]
pub enum SecretError {
    Unusable(Failure),
    Hub(String),
}

/// How new a Secret has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// As the API server has it in memory: a start of thousands of targets needn't bother etcd.
    Cached,
    Newest,
}

async fn get(api: &Api<Secret>, name: &str, reading: Reading) -> kube::Result<Option<Secret>> {
    if reading == Reading::Cached {
        match api.get_with(name, &GetParams::any()).await {
            // It may have come a moment ago.
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            answer => return answer.map(Some),
        }
    }
    api.get_opt(name).await
}

/// Reads the Secret of `target`, which is in the target's own namespace.
pub async fn read_kubeconfig(
    client: &Client,
    target: &DesiredTarget,
    reading: Reading,
) -> Result<KubeconfigSecret, SecretError> {
    let (namespace, name) = (target.key.namespace(), target.secret_name.as_str());
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let answer = tokio::time::timeout(DEADLINE, get(&api, name, reading)).await;
    let secret = match answer {
        Err(_) => return Err(SecretError::Hub(format!("no answer within {} s", DEADLINE.as_secs()))),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            return Err(unusable(
                Reason::SecretForbidden,
                format!("ksit may not get Secret {namespace}/{name} on the hub: add it to ksit's Role in {namespace}"),
            ));
        }
        Ok(Err(error)) => return Err(SecretError::Hub(error.to_string())),
        Ok(Ok(None)) => {
            return Err(unusable(
                Reason::SecretNotFound,
                format!(
                    "Secret {namespace}/{name} does not exist: create it with the kubeconfig under the key kubeconfig"
                ),
            ));
        }
        Ok(Ok(Some(secret))) => secret,
    };
    let resource_version = secret.resource_version().unwrap_or_default();
    let data = secret.data.unwrap_or_default();
    let wanted: Vec<&str> = target.secret_key.as_deref().map_or(USUAL_KEYS.to_vec(), |key| vec![key]);
    let Some(key) = wanted.iter().find(|key| data.contains_key(**key)) else {
        return Err(unusable(
            Reason::SecretInvalid,
            format!("Secret {namespace}/{name} has none of the keys {}: put the kubeconfig there", wanted.join(", ")),
        ));
    };
    match data.get(*key) {
        Some(value) if !value.0.is_empty() => Ok(KubeconfigSecret { resource_version, bytes: value.0.clone() }),
        _ => Err(unusable(Reason::SecretInvalid, format!("key {key} of Secret {namespace}/{name} is empty"))),
    }
}

/// Metadata of the Secrets in `namespace` (all, if none), for ever. Errors are logged and retried with back-off.
pub fn watch_secrets(client: Client, namespace: Option<&str>) -> impl Stream<Item = Change<SecretMetadata>> + use<> {
    let api: Api<SecretMetadata> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut listed = BTreeSet::new();
    let events = with_backoff(watcher(api, config()));
    events.filter_map(|event| future::ready(or_warned(event, "Secret"))).filter_map(move |event| {
        future::ready(match event {
            Event::Init => {
                listed.clear();
                None
            }
            Event::InitApply(secret) => {
                listed.insert(key_of(&secret));
                Some(Change::Applied(Box::new(secret)))
            }
            Event::InitDone => Some(Change::Listed(std::mem::take(&mut listed))),
            Event::Apply(secret) => Some(Change::Applied(Box::new(secret))),
            Event::Delete(secret) => Some(Change::Deleted(key_of(&secret))),
        })
    })
}

fn unusable(reason: Reason, message: String) -> SecretError {
    SecretError::Unusable(Failure::new(reason, message))
}
