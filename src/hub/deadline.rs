//! A client whose every request ends within a time, its answer included.

use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::time::timeout;
use tower::BoxError;

use super::cause::NoAnswer;

/// Not for watches: each answer is read whole.
pub fn with_deadline(client: Client, deadline: Duration) -> Client {
    let namespace = client.default_namespace().to_owned();
    let each = tower::service_fn(move |request: Request<Body>| {
        let client = client.clone();
        async move {
            let asked = async {
                let (head, body) = client.send(request).await?.into_parts();
                Ok::<_, BoxError>(Response::from_parts(head, Body::from(body.collect().await?.to_bytes())))
            };
            timeout(deadline, asked).await.unwrap_or_else(|_| Err(NoAnswer(deadline).into()))
        }
    });
    Client::new(each, namespace)
}
