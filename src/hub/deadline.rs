//! Limits the time of each request of a client, reading the answer included.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;
use tower::BoxError;

use super::cause::NoAnswer;

/// Wraps `client` with a deadline per request. Not for watches: each answer is read to its end.
pub fn with_deadline(client: Client, deadline: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let each = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let exchange = async {
                let (head, body) = client.send(request).await?.into_parts();
                Ok::<_, BoxError>(Response::from_parts(head, Body::from(body.collect().await?.to_bytes())))
            };
            timeout(deadline, exchange).await.unwrap_or_else(|_| Err(NoAnswer(deadline).into()))
        }
    });
    Client::new(each, namespace)
}
