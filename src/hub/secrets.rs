//! Reads the kubeconfig of a target from its Secret, with `get` only unless the user enables watching Secrets, and puts
//! a renewed token there.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::{Stream, StreamExt, future};
use http::StatusCode;
use http::header::{ACCEPT, HeaderValue};
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{GetParams, Patch, Request};
use kube::client::Body;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::cause::cause;
use super::field_manager::patch_params;
use super::history::History;
use super::protobuf;
use super::relist::relisting;
use super::watch::{Change, config, or_warned};
use crate::api::convert::object_key;
use crate::domain::desired::DesiredTarget;
use crate::domain::reason::{Failure, Reason};
use crate::domain::renewal::TOKEN_TTL;

/// Keys to look up if the target names none, in this order.
const DEFAULT_KEYS: [&str; 3] = ["kubeconfig", "value", "value.yaml"];

/// Deadline of a read: a silent hub must not block a target's round forever.
const DEADLINE: Duration = Duration::from_secs(5);

/// A Secret without its data. Annotations may hold a copy of the data (`kubectl apply` leaves one): keep only the
/// version, and never print the rest.
pub type SecretMetadata = PartialObjectMeta<Secret>;

/// A stored kubeconfig, not validated yet. Never printed.
pub struct KubeconfigSecret {
    pub resource_version: String,
    /// The key that holds it.
    pub key: String,
    pub bytes: Vec<u8>,
    /// The annotation [`TOKEN_TTL`].
    pub token_ttl: Option<String>,
}

/// Why a kubeconfig can't be read.
#[derive(Debug)]
pub enum SecretError {
    /// A fault of the Secret; reported on the target.
    Unusable(Failure),
    /// A fault of the hub; retried and not reported on the target.
    Hub(String),
}

/// Number of a Secret's keys that a message lists.
const MAX_LISTED_KEYS: usize = 3;

/// Required freshness of a Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// From the API server's cache, which spares etcd when thousands of targets start.
    Cached,
    Newest,
}

/// Reads the Secret; `None` if it does not exist.
async fn get(
    client: &Client,
    namespace: &str,
    name: &str,
    reading: Reading,
) -> Result<Option<protobuf::Secret>, SecretError> {
    if reading == Reading::Cached {
        match ask(client, namespace, name, &GetParams::any()).await {
            // It may be too new for the cache.
            Ok(None) => {}
            answer => return answer,
        }
    }
    ask(client, namespace, name, &GetParams::default()).await
}

async fn ask(
    client: &Client,
    namespace: &str,
    name: &str,
    parameters: &GetParams,
) -> Result<Option<protobuf::Secret>, SecretError> {
    let url = Secret::url_path(&(), Some(namespace));
    let mut request = Request::new(url).get(name, parameters).map_err(hub_error)?;
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(protobuf::CONTENT_TYPE));
    let answer =
        client.send(request.map(Body::from)).await.map_err(|error| hub_error(format!("it {}", cause(&error))))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(hub_error)?.to_bytes();
    match status {
        StatusCode::OK => match protobuf::decode(body) {
            Some(secret) => Ok(Some(secret)),
            None => Err(hub_error("its answer is not a Secret in protobuf")),
        },
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::FORBIDDEN => Err(unusable(
            Reason::SecretForbidden,
            format!("ksit may not get Secret {namespace}/{name} on the hub: add it to ksit's Role in {namespace}"),
        )),
        _ => {
            let message = protobuf::decode(body).map(|status: protobuf::Status| status.message).unwrap_or_default();
            Err(hub_error(format!("{status} {message}").trim_end()))
        }
    }
}

/// Lists the keys that the Secret has instead: the controller that writes it may use another one.
fn other_keys<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut keys: Vec<&str> = keys.collect();
    keys.sort_unstable();
    keys.truncate(MAX_LISTED_KEYS);
    match keys.as_slice() {
        [] => String::new(),
        keys => format!(", or name its key in kubeconfigSecretRef.key; it has {}", keys.join(", ")),
    }
}

fn hub_error(error: impl Display) -> SecretError {
    SecretError::Hub(error.to_string())
}

/// Reads the kubeconfig of `target` from its Secret, which is in the target's namespace.
pub async fn read_kubeconfig(
    client: &Client,
    target: &DesiredTarget,
    reading: Reading,
) -> Result<KubeconfigSecret, SecretError> {
    let (namespace, name) = (target.key.namespace(), target.secret_name.as_str());
    let answer = tokio::time::timeout(DEADLINE, get(client, namespace, name, reading)).await;
    let late = |_| Err(hub_error(format!("no answer within {} s", DEADLINE.as_secs())));
    let Some(mut secret) = answer.unwrap_or_else(late)? else {
        return Err(unusable(
            Reason::SecretNotFound,
            format!("Secret {namespace}/{name} does not exist: create it with the kubeconfig under the key kubeconfig"),
        ));
    };
    let wanted: Vec<&str> = target.secret_key.as_deref().map_or(DEFAULT_KEYS.to_vec(), |key| vec![key]);
    let Some((key, bytes)) = wanted.iter().find_map(|key| secret.data.remove_entry(*key)) else {
        return Err(unusable(
            Reason::SecretInvalid,
            format!(
                "Secret {namespace}/{name} has none of the keys {}: put the kubeconfig there{}",
                wanted.join(", "),
                other_keys(secret.data.keys().map(String::as_str))
            ),
        ));
    };
    if bytes.is_empty() {
        return Err(unusable(Reason::SecretInvalid, format!("key {key} of Secret {namespace}/{name} is empty")));
    }
    let mut metadata = secret.metadata.unwrap_or_default();
    let token_ttl = metadata.annotations.remove(TOKEN_TTL);
    Ok(KubeconfigSecret { resource_version: metadata.resource_version, key, bytes, token_ttl })
}

/// Puts another kubeconfig into the Secret of `target`, if it still has the version that was read. Returns its new
/// version; `None` if it has changed meanwhile.
///
/// # Errors
/// A sentence for users with the cause and the remedy.
pub async fn write_kubeconfig(
    client: &Client,
    target: &DesiredTarget,
    read: &KubeconfigSecret,
    kubeconfig: &SecretString,
) -> Result<Option<String>, String> {
    let (namespace, name) = (target.key.namespace(), target.secret_name.as_str());
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let patch = json!({ "metadata": { "resourceVersion": read.resource_version },
        "data": { &read.key: STANDARD.encode(kubeconfig.expose_secret()) } });
    let (parameters, patch) = (patch_params(), Patch::Merge(patch));
    let written = tokio::time::timeout(DEADLINE, api.patch_metadata(name, &parameters, &patch)).await;
    match written {
        Ok(Ok(secret)) => Ok(Some(secret.resource_version().unwrap_or_default())),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 || status.code == 404 => Ok(None),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
            "ksit may not patch Secret {namespace}/{name} on the hub: set config.renewTokens in the values of its chart"
        )),
        Ok(Err(error)) => Err(format!("the hub {}", cause(&error))),
        Err(_) => Err(format!("the hub gave no answer within {} s", DEADLINE.as_secs())),
    }
}

/// Watches the metadata of the Secrets in `namespace` (all namespaces if `None`). Never ends; errors are logged and
/// retried with backoff.
pub fn watch_secrets(
    client: Client,
    history: &History,
    namespace: Option<&str>,
) -> impl Stream<Item = Change<SecretMetadata>> + use<> {
    let api: Api<SecretMetadata> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let mut listed = BTreeSet::new();
    let events = relisting(history, move || watcher(api.clone(), config()).boxed());
    events.filter_map(|event| future::ready(or_warned(event, "Secret"))).filter_map(move |event| {
        future::ready(match event {
            Event::Init => {
                listed.clear();
                None
            }
            Event::InitApply(secret) => {
                listed.insert(object_key(&secret));
                Some(Change::Applied(Box::new(secret)))
            }
            Event::InitDone => Some(Change::Listed(std::mem::take(&mut listed))),
            Event::Apply(secret) => Some(Change::Applied(Box::new(secret))),
            Event::Delete(secret) => Some(Change::Deleted(object_key(&secret))),
        })
    })
}

fn unusable(reason: Reason, message: String) -> SecretError {
    SecretError::Unusable(Failure::new(reason, message))
}

/// Encodes a Secret as the hub's response body.
#[cfg(test)]
pub fn encoded_secret(resource_version: &str, key: &str, bytes: Vec<u8>) -> Vec<u8> {
    let metadata = protobuf::ObjectMeta { resource_version: resource_version.to_owned(), ..Default::default() };
    let data = [(key.to_owned(), bytes)].into();
    protobuf::encode(&protobuf::Secret { metadata: Some(metadata), data })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Reads from a hub with a fixed answer. Returns version and kubeconfig, or the error message.
    async fn read(status: u16, body: Vec<u8>) -> Result<Option<(String, Vec<u8>)>, String> {
        let hub = tower::service_fn(move |request: http::Request<Body>| {
            assert_eq!(request.headers()[ACCEPT], protobuf::CONTENT_TYPE);
            let answer = http::Response::builder().status(status).body(Body::from(body.clone()));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        match get(&Client::new(hub, "fleet"), "fleet", "c1-kubeconfig", Reading::Cached).await {
            Ok(secret) => Ok(secret.map(|mut secret| {
                (secret.metadata.unwrap().resource_version, secret.data.remove("kubeconfig").unwrap())
            })),
            Err(SecretError::Unusable(failure)) => Err(format!("{}: {}", failure.reason.as_str(), failure.message)),
            Err(SecretError::Hub(message)) => Err(message),
        }
    }

    #[tokio::test]
    async fn unexpected_secret_responses_are_classified_and_never_echoed() {
        let secret = encoded_secret("7", "kubeconfig", b"here".to_vec());
        assert_eq!(read(200, secret.clone()).await, Ok(Some(("7".to_owned(), b"here".to_vec()))));
        let why = protobuf::encode(&protobuf::Status { message: "etcdserver: request timed out".to_owned() });
        assert_eq!(read(404, why.clone()).await, Ok(None));
        let not_a_secret = "its answer is not a Secret in protobuf";
        let forbidden =
            "SecretForbidden: ksit may not get Secret fleet/c1-kubeconfig on the hub: add it to ksit's Role in fleet";
        let cases = [
            (500, why.clone(), "500 Internal Server Error etcdserver: request timed out"),
            (502, b"<html>secret</html>".to_vec(), "502 Bad Gateway"),
            (200, br#"{"kind":"Secret","data":{"kubeconfig":"c2VjcmV0"}}"#.to_vec(), not_a_secret),
            (200, secret[..secret.len() - 1].to_vec(), not_a_secret),
            (403, why, forbidden),
        ];
        for (status, body, expected) in cases {
            assert_eq!(read(status, body).await, Err(expected.to_owned()), "{status}");
        }
    }
}
