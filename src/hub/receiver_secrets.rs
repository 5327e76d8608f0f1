//! Reads what a Notifier refers to from Secrets of its namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use secrecy::SecretString;
use tokio::time::timeout;

use super::cause::cause;
use crate::domain::notify::{DeliveryFault, SecretKey};

/// The type of Secrets that a Notifier may use. A kubeconfig has another one: whoever may write Notifiers must not have
/// it sent to a server of theirs.
pub const NOTIFIER_SECRET: &str = "ksit.io/notifier";

const DEADLINE: Duration = Duration::from_secs(5);

/// Reads one key.
///
/// # Errors
/// The Secret can't be read, has another type, or lacks the key.
pub async fn read_receiver_secret(
    client: &Client,
    namespace: &str,
    SecretKey { name, key }: &SecretKey,
) -> Result<SecretString, DeliveryFault> {
    let fault = |reason, words: String| DeliveryFault::new(reason, words);
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let read = timeout(DEADLINE, api.get_opt(name)).await;
    let secret = match read {
        Ok(Ok(Some(secret))) => secret,
        Ok(Ok(None)) => {
            return Err(fault("SecretNotFound", format!("Secret {namespace}/{name} does not exist")));
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            return Err(fault("SecretForbidden", format!("Secret {namespace}/{name} may not be read")));
        }
        Ok(Err(error)) => return Err(fault("SecretUnread", format!("the hub {}", cause(&error)))),
        Err(_) => {
            return Err(fault("SecretUnread", format!("the hub did not answer within {} s", DEADLINE.as_secs())));
        }
    };
    if secret.type_.as_deref() != Some(NOTIFIER_SECRET) {
        let remedy = format!("create it with --type={NOTIFIER_SECRET}, so that no other Secret can be sent away");
        return Err(fault(
            "SecretRefused",
            format!("Secret {namespace}/{name} is not of type {NOTIFIER_SECRET}: {remedy}"),
        ));
    }
    let value = secret.data.and_then(|mut data| data.remove(key)).filter(|value| !value.0.is_empty());
    let missing = || fault("SecretInvalid", format!("Secret {namespace}/{name} has no key {key}"));
    let text = String::from_utf8(value.ok_or_else(missing)?.0);
    let text =
        text.map_err(|_| fault("SecretInvalid", format!("key {key} of Secret {namespace}/{name} is no text")))?;
    Ok(text.into())
}
