//! Watches objects of the hub, and survives unreadable ones.
//!
//! ```text
//! watcher (list, watch, back off, relist) ─> read_ahead ─> each object read by itself ─> Change
//! ```
//!
//! kube's typed watch fails a whole page for one object that does not parse. Here an unreadable object costs one
//! warning.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::pin::pin;

use futures::stream::BoxStream;
use futures::{Stream, StreamExt, future, stream};
use k8s_openapi::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::cause::cause;
use super::history::History;
use super::lenient::Lenient;
use super::relist::relisting;
use crate::api::convert::object_key;
use crate::domain::keys::ObjectKey;

/// Objects per page, forty times the default of kube and client-go. The API server serves the first page from memory,
/// but the next ones from etcd if nothing of the kind has changed since etcd's last compaction, which runs every five
/// minutes; in a healthy fleet nothing changes. With a selector it then decodes the whole fleet for each replica: a
/// start with 10,000 targets in pages of 500 cost it up to three times the CPU.
const PAGE: u32 = 20_000;

/// A change of the objects of one kind.
#[derive(Debug)]
pub enum Change<K> {
    Applied(Box<K>),
    Deleted(ObjectKey),
    /// Ends a full list: objects not in it are deleted.
    Listed(BTreeSet<ObjectKey>),
}

impl<K> Change<K> {
    pub fn map<L>(self, with: impl FnOnce(Box<K>) -> L) -> Change<L> {
        match self {
            Self::Applied(object) => Change::Applied(Box::new(with(object))),
            Self::Deleted(key) => Change::Deleted(key),
            Self::Listed(keys) => Change::Listed(keys),
        }
    }
}

/// Merges watches of one kind in several namespaces into one: the first list ends when every namespace has been listed,
/// and a later list of one namespace does not delete objects of the others.
pub fn merge<K: ResourceExt + Send + 'static>(
    watches: Vec<BoxStream<'static, Change<K>>>,
) -> BoxStream<'static, Change<K>> {
    let mut listed = vec![false; watches.len()];
    let mut known: Vec<BTreeSet<ObjectKey>> = vec![BTreeSet::new(); watches.len()];
    let numbered =
        watches.into_iter().enumerate().map(|(index, watch)| watch.map(move |change| (index, change)).boxed());
    stream::select_all(numbered)
        .filter_map(move |(index, change)| {
            let change = match change {
                Change::Listed(keys) => {
                    (listed[index], known[index]) = (true, keys);
                    let all_listed = listed.iter().all(|listed| *listed);
                    all_listed.then(|| Change::Listed(known.iter().flatten().cloned().collect()))
                }
                Change::Applied(object) => {
                    known[index].insert(object_key(&*object));
                    Some(Change::Applied(object))
                }
                Change::Deleted(key) => {
                    known[index].remove(&key);
                    Some(Change::Deleted(key))
                }
            };
            future::ready(change)
        })
        .boxed()
}

/// Watches the objects of kind `K` in `namespace` (all namespaces if `None`) that match the label `selector`. Never
/// ends; errors are logged and retried with backoff.
pub fn watch<K>(
    client: Client,
    history: &History,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> impl Stream<Item = Change<K>> + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_by(client, history, namespace, selector.map_or(config(), |selector| config().labels(selector)))
}

/// Watches a single object.
pub fn watch_one<K>(
    client: Client,
    history: &History,
    namespace: &str,
    name: &str,
) -> impl Stream<Item = Change<K>> + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_by(client, history, Some(namespace), config().fields(&format!("metadata.name={name}")))
}

pub(super) fn config() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

fn watch_by<K>(
    client: Client,
    history: &History,
    namespace: Option<&str>,
    config: watcher::Config,
) -> impl Stream<Item = Change<K>> + use<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api: Api<Lenient<K>> = match namespace {
        Some(namespace) => Api::namespaced(client, namespace),
        None => Api::all(client),
    };
    let kind = K::kind(&()).into_owned();
    let mut reader = Reader { kind: kind.clone(), listed: BTreeSet::new(), warned: HashMap::new() };
    let begin = move || watcher::watcher(api.clone(), config.clone()).boxed();
    let events = relisting(history, begin).filter_map(move |event| future::ready(or_warned(event, &kind)));
    read_ahead(events).flat_map(move |event| stream::iter(reader.changes(event)))
}

/// Polls `items` in its own task, up to one page ahead, so that the hub prepares the next page of a long list while the
/// last one is processed.
fn read_ahead<T: Send + 'static>(items: impl Stream<Item = T> + Send + 'static) -> impl Stream<Item = T> {
    let (sender, receiver) = mpsc::channel(PAGE as usize);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut items = pin!(items);
        while let Some(item) = items.next().await
            && sender.send(item).await.is_ok()
        {}
    });
    // Dropping the stream ends the task.
    stream::unfold((receiver, task), async |(mut receiver, task)| Some((receiver.recv().await?, (receiver, task))))
}

/// Returns the event, or logs the error.
pub(super) fn or_warned<E>(event: Result<E, watcher::Error>, kind: &str) -> Option<E> {
    event
        .inspect_err(|error| {
            let (error, hint) = explain(error);
            tracing::warn!(kind, error, hint, "failed to watch the hub; retrying");
        })
        .ok()
}

/// Describes a watch error in one line, and its remedy.
fn explain(error: &watcher::Error) -> (String, &'static str) {
    let (watcher::Error::InitialListFailed(kube::Error::Api(status))
    | watcher::Error::WatchStartFailed(kube::Error::Api(status))) = error
    else {
        return (format!("the hub {}", cause(error)), "is the hub's API server running?");
    };
    let hint = match status.code {
        404 => "the CRDs are missing: ksit crds | kubectl apply --server-side -f -",
        403 => "ksit's ServiceAccount may not list and watch this kind: add it to its Role, or set --watch-namespaces",
        _ => "look at the log of the hub's API server",
    };
    (status.message.trim().to_owned(), hint)
}

struct Reader {
    kind: String,
    listed: BTreeSet<ObjectKey>,
    /// Unreadable objects, with the version of the last warning.
    warned: HashMap<ObjectKey, Option<String>>,
}

impl Reader {
    fn changes<K: Resource>(&mut self, event: Event<Lenient<K>>) -> Option<Change<K>> {
        match event {
            Event::Init => {
                self.listed.clear();
                None
            }
            Event::InitApply(object) => {
                let key = object_key(&object);
                let change = self.read(&key, object);
                // An unreadable object counts as deleted, even if an earlier version was readable.
                if change.is_some() {
                    self.listed.insert(key);
                }
                change
            }
            Event::InitDone => Some(Change::Listed(std::mem::take(&mut self.listed))),
            Event::Apply(object) => {
                let key = object_key(&object);
                Some(self.read(&key, object).unwrap_or(Change::Deleted(key)))
            }
            Event::Delete(object) => {
                let key = object_key(&object);
                self.warned.remove(&key);
                Some(Change::Deleted(key))
            }
        }
    }

    fn read<K: Resource>(&mut self, key: &ObjectKey, object: Lenient<K>) -> Option<Change<K>> {
        match object {
            Lenient::Read(object) => {
                self.warned.remove(key);
                Some(Change::Applied(object))
            }
            Lenient::Unreadable { metadata, error } => {
                let version = metadata.resource_version;
                if self.warned.insert(key.clone(), version.clone()) != Some(version) {
                    tracing::warn!(
                        kind = self.kind,
                        namespace = key.namespace(),
                        name = key.name(),
                        error,
                        "this object can't be read and is ignored; fix it or delete it"
                    );
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use kube::client::Body;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::api::IntegrationTarget;

    #[tokio::test(start_paused = true)]
    async fn list_is_read_one_page_ahead_and_stops_when_dropped() {
        let request_count = Arc::new(AtomicUsize::new(0));
        let pages = request_count.clone();
        let hub = tower::service_fn(move |request: http::Request<Body>| {
            let page = pages.fetch_add(1, Ordering::Relaxed);
            assert!(request.uri().query().unwrap().contains(&format!("limit={PAGE}")));
            let items: Vec<_> = (0..PAGE)
                .map(|number| json!({ "metadata": { "namespace": "fleet", "name": format!("c{page}-{number}") }, "spec": { "clusterName": "c" } }))
                .collect();
            let list = json!({
                "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTargetList",
                "metadata": { "resourceVersion": "7", "continue": "more" }, "items": items,
            });
            async move { Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(list.to_string().into_bytes()))) }
        });
        let mut changes =
            Box::pin(watch::<IntegrationTarget>(Client::new(hub, "fleet"), &History::default(), None, None));
        changes.next().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(request_count.load(Ordering::Relaxed), 2, "one page ahead");
        drop(changes);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(request_count.load(Ordering::Relaxed), 2);
    }

    /// A restarted API server answers 410, since it does not know the version any more.
    #[tokio::test(start_paused = true)]
    async fn http_410_relists_immediately_then_with_backoff() {
        let lists: Arc<Mutex<Vec<Instant>>> = Arc::default();
        let listed = lists.clone();
        let hub = tower::service_fn(move |request: http::Request<Body>| {
            let answer = if request.uri().query().unwrap().contains("watch=true") {
                json!({ "type": "ERROR", "object": { "kind": "Status", "apiVersion": "v1", "metadata": {},
                    "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version" } })
            } else {
                listed.lock().unwrap().push(Instant::now());
                json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTargetList",
                    "metadata": { "resourceVersion": "7" }, "items": [] })
            };
            let body = Body::from(format!("{answer}\n").into_bytes());
            async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
        });
        let mut changes =
            Box::pin(watch::<IntegrationTarget>(Client::new(hub, "fleet"), &History::default(), None, None));
        for _ in 0..4 {
            assert!(matches!(changes.next().await, Some(Change::Listed(_))));
        }
        let gaps: Vec<f64> = lists.lock().unwrap().windows(2).map(|at| (at[1] - at[0]).as_secs_f64()).collect();
        assert!(gaps[0] < 0.01 && gaps[1] >= 0.1 && gaps[2] >= 0.2, "{gaps:?}");
    }
}
