//! Reads the StatefulSet that runs the replicas, for their number and for owner references.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Api, Resource};
use tokio::time::sleep;

use super::prompt_client::{PromptClient, PromptError};

/// Attempts of the first read. Without an answer from the hub, a replica can't do anything else anyway.
const ATTEMPTS: u32 = 10;
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Reader of the StatefulSet that this replica belongs to, if any.
#[derive(Clone)]
pub struct StatefulSets {
    pub hub: PromptClient,
    pub namespace: String,
    /// `None`: the replica's name has no ordinal, so it belongs to no StatefulSet.
    pub name: Option<String>,
}

impl StatefulSets {
    /// Reads `spec.replicas`; `None` without a StatefulSet.
    pub async fn replicas(&self) -> Result<Option<u32>, PromptError> {
        let replicas = |set: StatefulSet| set.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        Ok(self.read().await?.map(|set| u32::try_from(replicas(set)).unwrap_or(0)))
    }

    /// Reads the owner reference for Leases and the map. They get it only when created, so this retries while the hub
    /// does not answer.
    pub async fn owner(&self) -> Result<Option<OwnerReference>, PromptError> {
        for _ in 1..ATTEMPTS {
            match self.read().await {
                Err(error) if !error.is_answer() => sleep(RETRY_DELAY).await,
                read => return Ok(read?.and_then(|set| set.owner_ref(&()))),
            }
        }
        Ok(self.read().await?.and_then(|set| set.owner_ref(&())))
    }

    async fn read(&self) -> Result<Option<StatefulSet>, PromptError> {
        let Some(name) = &self.name else { return Ok(None) };
        self.hub.ask(async |client| Api::<StatefulSet>::namespaced(client, &self.namespace).get_opt(name).await).await
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use http::{Request, Response};
    use kube::Client;
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::hub::PROMPT_TIMEOUT;

    /// Reads the owner from a hub that fails `failures` times with `code`. Returns it and the number of requests.
    async fn owner(failures: u32, code: u16) -> (Result<Option<OwnerReference>, PromptError>, u32) {
        let request_count = Arc::new(AtomicU32::new(0));
        let requests = request_count.clone();
        let connect = move || {
            let requests = requests.clone();
            let hub = tower::service_fn(move |_: Request<Body>| {
                let is_failing = requests.fetch_add(1, Ordering::Relaxed) < failures;
                let set = json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": { "name": "ksit", "uid": "u" } });
                let (code, body) = if is_failing { (code, json!({ "code": code })) } else { (200, set) };
                let answer = Response::builder().status(code).body(Body::from(body.to_string().into_bytes()));
                async move { Ok::<_, Infallible>(answer.unwrap()) }
            });
            Ok(Client::new(hub, "fleet"))
        };
        let hub = PromptClient::connected_by(Arc::new(connect), PROMPT_TIMEOUT).unwrap();
        let set = StatefulSets { hub, namespace: "fleet".to_owned(), name: Some("ksit".to_owned()) };
        (set.owner().await, request_count.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn owner_read_is_retried_while_the_hub_does_not_answer() {
        let (read, request_count) = owner(3, 503).await;
        assert_eq!((read.unwrap().unwrap().uid.as_str(), request_count), ("u", 4));
        let (read, request_count) = owner(1_000, 503).await;
        assert!(read.is_err());
        assert_eq!(request_count, ATTEMPTS);
        let (read, request_count) = owner(1_000, 403).await;
        assert!(matches!(read, Err(PromptError::Refused(_))), "an answer");
        assert_eq!(request_count, 1);
    }
}
