//! Reads, watches and writes (by compare-and-swap) the installation's ShardMap.

use futures::stream::BoxStream;
use futures::{StreamExt, future, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::field_manager::{patch_params, post_params};
use super::history::History;
use super::prompt_client::{PromptClient, PromptError};
use super::watch::{Change, watch_one};
use crate::api::{ShardMap, ShardMapStatus, convert};
use crate::domain::shard_map::PublishedMap;

/// A map with its metadata, which a write must carry: the version, and whatever others have put there.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredMap {
    pub published: PublishedMap,
    pub metadata: ObjectMeta,
}

impl StoredMap {
    pub fn resource_version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }
}

impl From<&ShardMap> for StoredMap {
    fn from(object: &ShardMap) -> Self {
        let metadata = ObjectMeta { managed_fields: None, ..object.metadata.clone() };
        Self { published: convert::shard_map(object), metadata }
    }
}

/// Access to the stored map.
#[derive(Clone)]
pub struct MapStore {
    pub hub: PromptClient,
    pub namespace: String,
    pub name: String,
    /// The StatefulSet, so that the map is garbage-collected with it.
    pub owner: Option<OwnerReference>,
}

impl MapStore {
    pub async fn read(&self) -> Result<Option<StoredMap>, PromptError> {
        let found = self.hub.ask(async |client| self.api(client).get_opt(&self.name).await).await?;
        Ok(found.as_ref().map(StoredMap::from))
    }

    /// Replaces the version `over` with the whole map, or creates the object if there was none. Metadata that others
    /// have put on it stays.
    pub async fn write(&self, published: &PublishedMap, over: Option<&StoredMap>) -> Result<StoredMap, PromptError> {
        let mut map = ShardMap::new(&self.name, convert::shard_map_spec(published));
        if let Some(stored) = over {
            map.metadata = stored.metadata.clone();
        }
        let owners = map.owner_references_mut();
        if let Some(owner) = self.owner.as_ref().filter(|owner| !owners.iter().any(|known| known.uid == owner.uid)) {
            owners.push(owner.clone());
        }
        let params = post_params();
        let written = self
            .hub
            .ask(async |client| match over {
                Some(_) => self.api(client).replace(&self.name, &params, &map).await,
                None => self.api(client).create(&params, &map).await,
            })
            .await?;
        Ok(StoredMap::from(&written))
    }

    /// Writes the status, if the map still has the version of `over`.
    pub async fn write_status(&self, status: &ShardMapStatus, over: &StoredMap) -> Result<StoredMap, PromptError> {
        let patch = Patch::Merge(json!({
            "metadata": { "resourceVersion": over.resource_version() },
            "status": status,
        }));
        let params = patch_params();
        let written =
            self.hub.ask(async |client| self.api(client).patch_status(&self.name, &params, &patch).await).await?;
        Ok(StoredMap::from(&written))
    }

    fn api(&self, client: Client) -> Api<ShardMap> {
        Api::namespaced(client, &self.namespace)
    }
}

/// Streams the versions of the map; `None` while there is none. The first comes from a GET: the initial list of a watch
/// waits until the API server's cache has caught up with etcd, which delays the start of a replica by 0.1 s.
pub fn watch_map(client: Client, history: &History, store: &MapStore) -> BoxStream<'static, Option<StoredMap>> {
    let changes: BoxStream<'static, Change<ShardMap>> =
        watch_one(client, history, &store.namespace, &store.name).boxed();
    let store = store.clone();
    let first =
        stream::once(async move { store.read().await }).filter_map(|read| future::ready(read.ok().flatten().map(Some)));
    let changes = changes.filter_map(|change| {
        future::ready(match change {
            Change::Applied(object) => Some(Some(StoredMap::from(&*object))),
            Change::Deleted(_) => Some(None),
            Change::Listed(keys) => keys.is_empty().then_some(None),
        })
    });
    first.chain(changes).boxed()
}
