//! Sends one request to a receiver, with the Secrets that it refers to.

use kube::Client;

use crate::domain::notify::{Delivery, DeliveryFault, Receiver, SecretKey};
use crate::hub::read_receiver_secret;
use crate::receivers::{Answer, Secrets, send};
use crate::targets::Outbound;

/// Reads the Secrets with the rights of `hub` and sends the request.
///
/// # Errors
/// A Secret can't be used, or the receiver did not accept the request.
pub(crate) async fn deliver(
    hub: &Client,
    outbound: &Outbound,
    namespace: &str,
    receiver: &Receiver,
    delivery: &Delivery,
) -> Result<Answer, DeliveryFault> {
    let (url, token, hmac, ca) = match receiver {
        Receiver::Alertmanager { token, ca, .. } => (None, token.as_ref(), None, ca.as_ref()),
        Receiver::Webhook { token, ca, hmac, .. } => (None, token.as_ref(), hmac.as_ref(), ca.as_ref()),
        Receiver::Slack { url } | Receiver::Teams { url } => (Some(url), None, None, None),
    };
    let read = async |key: Option<&SecretKey>| match key {
        Some(key) => read_receiver_secret(hub, namespace, key).await.map(Some),
        None => Ok(None),
    };
    let secrets =
        Secrets { url: read(url).await?, token: read(token).await?, hmac: read(hmac).await?, ca: read(ca).await? };
    send(outbound, receiver, &secrets, delivery).await
}
