//! Sends notifications: the payload of each kind of receiver, and the request.
//!
//! ```text
//! Delivery ─ alertmanager, webhook, slack, teams ─> Payload ─ post ─> receiver
//! ```
//!
//! A receiver is named by whoever may write a Notifier, and is not trusted: its address is vetted like that of a target,
//! the request has a deadline, no redirect is followed, and nothing but the status code of the answer is used.

mod alertmanager;
mod post;
mod slack;
mod teams;
mod text;
mod url;
mod webhook;

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::domain::notify::{Delivery, DeliveryFault, Receiver};
use crate::targets::Outbound;
pub(crate) use post::Answer;
use url::ReceiverUrl;

/// The values of the Secrets that a receiver refers to.
#[derive(Default)]
pub(crate) struct Secrets {
    /// URL of Slack and Teams.
    pub(crate) url: Option<SecretString>,
    /// Bearer token.
    pub(crate) token: Option<SecretString>,
    /// Signs the body.
    pub(crate) hmac: Option<SecretString>,
    /// CA certificates in PEM.
    pub(crate) ca: Option<SecretString>,
}

/// The body of a request and the headers that belong to it.
struct Payload {
    content_type: &'static str,
    headers: BTreeMap<&'static str, String>,
    body: Vec<u8>,
}

impl Payload {
    fn json(content_type: &'static str, value: &serde_json::Value) -> Self {
        Self { content_type, headers: BTreeMap::new(), body: value.to_string().into_bytes() }
    }
}

/// Sends one request.
///
/// # Errors
/// It did not arrive; the message names the receiver's host and what to check.
pub(crate) async fn send(
    outbound: &Outbound,
    receiver: &Receiver,
    secrets: &Secrets,
    delivery: &Delivery,
) -> Result<Answer, DeliveryFault> {
    let (url, payload) = match receiver {
        Receiver::Alertmanager { url, labels, .. } => {
            (ReceiverUrl::parse(url)?.below("/api/v2/alerts"), alertmanager::payload(delivery, labels))
        }
        Receiver::Webhook { url, .. } => (ReceiverUrl::parse(url)?, webhook::payload(delivery, secrets.hmac.as_ref())),
        Receiver::Slack { .. } => (ReceiverUrl::secret(secrets.url.as_ref())?, slack::payload(delivery)),
        Receiver::Teams { .. } => (ReceiverUrl::secret(secrets.url.as_ref())?, teams::payload(delivery)),
    };
    post::post(outbound, &url, secrets, payload).await
}
