//! Restarts a watch with a list when it can't resume from its last version.

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::core::Status;
use kube::runtime::watcher::{Error, Event, Result};

use super::backoff::with_backoff;
use super::history::History;

pub(super) type Events<K> = BoxStream<'static, Result<Event<K>>>;

/// Streams the events of a watch, with a pause after each error. `begin` creates the watch: at first, after each
/// rollback of the hub, and when the hub does not have the version any more or not yet.
pub(super) fn relisting<K: Send + 'static>(
    history: &History,
    begin: impl Fn() -> Events<K> + Send + 'static,
) -> Events<K> {
    let first = (begin(), history.changes(), begin);
    let events = with_backoff(stream::unfold(first, |(mut events, mut history, begin)| async {
        loop {
            tokio::select! {
                biased;
                Ok(()) = history.changed() => events = begin(),
                event = events.next() => {
                    let event = event?;
                    if matches!(&event, Err(error) if is_unknown_version(error)) {
                        events = begin();
                    }
                    return Some((event, (events, history, begin)));
                }
            }
        }
    }));
    events.boxed()
}

/// Whether the watch needs a list: the version is too old for the hub, or too new. kube's watcher lists only if it is
/// too old, and only if an event reports that.
pub(super) fn is_unknown_version(error: &Error) -> bool {
    match error {
        Error::WatchError(status) => is_version_unavailable(status),
        Error::WatchStartFailed(kube::Error::Api(status)) | Error::WatchFailed(kube::Error::Api(status)) => {
            is_version_unavailable(status)
        }
        _ => false,
    }
}

/// Matches "Expired" and "Too large resource version" as client-go does.
fn is_version_unavailable(status: &Status) -> bool {
    let mut causes = status.details.iter().flat_map(|details| &details.causes);
    let too_large = "Too large resource version";
    status.code == 410
        || causes.any(|cause| cause.reason == "ResourceVersionTooLarge")
        || (status.code == 504 && status.message.contains(too_large))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::super::watch::{Change, watch};
    use super::*;
    use crate::api::IntegrationTarget;

    /// A hub that counts lists and answers watches with `watched`.
    fn hub(watched: impl Fn() -> Option<(u16, Value)> + Send + Sync + 'static) -> (Client, Arc<AtomicUsize>) {
        let lists = Arc::new(AtomicUsize::new(0));
        let (listed, watched) = (lists.clone(), Arc::new(watched));
        let hub = tower::service_fn(move |request: http::Request<Body>| {
            let is_watch = request.uri().query().unwrap().contains("watch=true");
            let answer = if is_watch { watched() } else { Some((200, list())) };
            if !is_watch {
                listed.fetch_add(1, Ordering::Relaxed);
            }
            async move {
                let Some((code, body)) = answer else { return std::future::pending().await };
                let body = Body::from(format!("{body}\n").into_bytes());
                Ok::<_, std::convert::Infallible>(http::Response::builder().status(code).body(body).unwrap())
            }
        });
        (Client::new(hub, "fleet"), lists)
    }

    fn list() -> Value {
        json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTargetList",
            "metadata": { "resourceVersion": "7" }, "items": [] })
    }

    fn too_large() -> Value {
        json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Timeout",
            "code": 504, "message": "Too large resource version: 9, current: 7",
            "details": { "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }] } })
    }

    async fn is_listed_twice(client: Client, history: &History, between: impl Future<Output = ()>) {
        let mut changes = Box::pin(watch::<IntegrationTarget>(client, history, None, None));
        assert!(matches!(changes.next().await, Some(Change::Listed(_))));
        let again = async { assert!(matches!(changes.next().await, Some(Change::Listed(_)))) };
        let both = async { tokio::join!(again, between) };
        tokio::time::timeout(Duration::from_secs(60), both).await.expect("a second list");
    }

    #[tokio::test(start_paused = true)]
    async fn watch_with_unavailable_version_is_relisted() {
        let (client, _) = hub(|| Some((504, too_large())));
        is_listed_twice(client, &History::default(), async {}).await;
        let (client, _) = hub(|| Some((200, json!({ "type": "ERROR", "object": too_large() }))));
        is_listed_twice(client, &History::default(), async {}).await;
        let (client, _) = hub(|| {
            Some((
                410,
                json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "reason": "Expired", "code": 410, "message": "too old" }),
            ))
        });
        is_listed_twice(client, &History::default(), async {}).await;
    }

    #[tokio::test(start_paused = true)]
    async fn watch_of_a_restored_hub_is_relisted() {
        let history = History::default();
        let (client, lists) = hub(|| None);
        let restored = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert_eq!(lists.load(Ordering::Relaxed), 1, "an idle watch lists nothing");
            history.record_rollback();
        };
        is_listed_twice(client, &history, restored).await;
    }

    #[tokio::test(start_paused = true)]
    async fn watch_resumes_from_its_version_after_other_errors() {
        let request_count = Mutex::new(0);
        let (client, lists) = hub(move || {
            let mut request_count = request_count.lock().unwrap();
            *request_count += 1;
            (*request_count < 5).then(|| {
                (
                    500,
                    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {},
                "status": "Failure", "reason": "InternalError", "code": 500, "message": "etcd" }),
                )
            })
        });
        let mut changes = Box::pin(watch::<IntegrationTarget>(client, &History::default(), None, None));
        changes.next().await;
        assert!(tokio::time::timeout(Duration::from_secs(60), changes.next()).await.is_err());
        assert_eq!(lists.load(Ordering::Relaxed), 1);
    }
}
