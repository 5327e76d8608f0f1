//! Requests for the shard map and for members' Leases, one at a time, and the versions of the map that others write.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use super::write_fence::WriteFence;
use crate::api::{ReplicaLoad, ShardMapStatus};
use crate::domain::coordinator::{Event, Load, MapStatus};
use crate::domain::replica::ReplicaName;
use crate::domain::shard_map::PublishedMap;
use crate::hub::{LeaseBoard, MapStore, MemberLeases, PromptError, StatefulSets, StoredMap, order};

const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Pause after a status of the map that could not be written.
const STATUS_RETRY_DELAY: Duration = Duration::from_millis(100);

/// See the effects of the same names.
#[derive(Debug)]
pub(super) enum MapRequest {
    TakeLease { name: ReplicaName, resource_version: String },
    WriteMap { map: PublishedMap, create: bool },
    WriteMapStatus(MapStatus),
    ReadStatefulSet,
}

pub(super) struct MapRequests {
    pub(super) board: Arc<LeaseBoard>,
    pub(super) leases: MemberLeases,
    pub(super) store: MapStore,
    pub(super) stateful_set: StatefulSets,
    pub(super) fence: WriteFence,
    /// Empty: all.
    pub(super) watched_namespaces: Vec<String>,
    /// The map as it was last written or read.
    pub(super) stored: StoredMap,
    pub(super) events: mpsc::Sender<Event>,
}

/// The event loop has ended.
struct Closed;

impl MapRequests {
    /// Serves requests until their sender is dropped. `seen` is the map as the watch shows it.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<MapRequest>,
        mut seen: watch::Receiver<Option<StoredMap>>,
    ) {
        let mut restores = self.board.history().changes();
        loop {
            let done = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.serve(request).await,
                    None => return,
                },
                _ = restores.changed() => self.read_after_restore(&mut restores).await,
                _ = seen.changed() => {
                    let newest = seen.borrow_and_update().clone();
                    self.compare(newest).await
                }
            };
            if done.is_err() {
                return;
            }
        }
    }

    async fn serve(&mut self, request: MapRequest) -> Result<(), Closed> {
        match request {
            MapRequest::TakeLease { name, resource_version } => {
                self.take_lease(&name, &resource_version).await;
                self.send(Event::LeaseTaken).await
            }
            MapRequest::WriteMap { map, create } => self.write(map, create).await,
            MapRequest::WriteMapStatus(status) => {
                self.write_status(status).await?;
                self.send(Event::MapStatusWritten).await
            }
            MapRequest::ReadStatefulSet => {
                let replicas = self.stateful_set.replicas().await.map_err(|error| {
                    tracing::warn!(%error, "the StatefulSet can't be read; going by its last known replicas");
                });
                self.send(Event::StatefulSet(replicas)).await
            }
        }
    }

    async fn send(&self, event: Event) -> Result<(), Closed> {
        self.events.send(event).await.map_err(|_| Closed)
    }

    async fn take_lease(&self, name: &ReplicaName, resource_version: &str) {
        if !self.fence.may_write() {
            return;
        }
        match self.leases.take(&self.board, name, resource_version).await {
            Ok(()) => tracing::warn!(replica = %name, "silent for a full Lease duration: declared dead"),
            Err(PromptError::Conflict) => tracing::info!(replica = %name, "it renewed at the last moment"),
            Err(error) => tracing::warn!(replica = %name, %error, "the Lease of a silent member can't be taken yet"),
        }
    }

    async fn write(&mut self, map: PublishedMap, create: bool) -> Result<(), Closed> {
        if !self.fence.may_write() {
            return self.send(Event::MapWriteFailed).await;
        }
        let over = (!create).then_some(&self.stored);
        match self.store.write(&map, over).await {
            Ok(stored) => {
                let (term, epoch, members) = (map.map.term, map.map.epoch, map.map.members.len());
                tracing::info!(%term, %epoch, members, "published the shard map");
                self.stored = stored;
                self.send(Event::MapWritten).await
            }
            Err(error) => {
                tracing::warn!(%error, "the shard map can't be written; reading it again");
                self.send(Event::MapWriteFailed).await?;
                match self.store.read().await {
                    Ok(read) => self.accept(read).await,
                    Err(_) => Ok(()),
                }
            }
        }
    }

    async fn write_status(&mut self, status: MapStatus) -> Result<(), Closed> {
        if !self.fence.may_write() {
            return Ok(());
        }
        let status = ShardMapStatus {
            observed_at: Some(Timestamp::now().to_string()),
            round_seconds: u32::try_from(status.round.as_secs()).ok(),
            watched_namespaces: Some(self.watched_namespaces.clone()),
            replicas: status.loads.into_iter().map(replica_load).collect(),
        };
        match self.store.write_status(&status, &self.stored).await {
            Ok(stored) => self.stored.metadata = stored.metadata,
            Err(PromptError::Conflict) => {
                if let Ok(read) = self.store.read().await {
                    return self.accept(read).await;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the freshness of the fleet can't be written this time");
                sleep(STATUS_RETRY_DELAY).await;
            }
        }
        Ok(())
    }

    /// Compares the map of the watch with the one that was last written or read.
    async fn compare(&mut self, seen: Option<StoredMap>) -> Result<(), Closed> {
        match seen {
            Some(seen) if version(&seen) > version(&self.stored) => self.accept(Some(seen)).await,
            Some(_) => Ok(()),
            // The watch may be behind our own write.
            None => match self.store.read().await {
                Ok(read) => self.accept(read).await,
                Err(_) => Ok(()),
            },
        }
    }

    /// Reads the map of a hub that was restored from a backup, whatever its version.
    async fn read_after_restore(&mut self, restores: &mut watch::Receiver<u64>) -> Result<(), Closed> {
        match self.store.read().await {
            Ok(read) => self.accept(read).await,
            Err(error) => {
                tracing::warn!(%error, "the shard map can't be read; trying again");
                sleep(RETRY_DELAY).await;
                restores.mark_changed();
                Ok(())
            }
        }
    }

    async fn accept(&mut self, read: Option<StoredMap>) -> Result<(), Closed> {
        let map = read.map(|read| {
            let ours = &self.stored.published;
            // The version of another coordinator's map must never be written over.
            if read.published.is_of_same_term(ours) {
                self.stored.metadata = read.metadata;
            }
            read.published
        });
        self.send(Event::Map(map)).await
    }
}

fn replica_load(load: Load) -> ReplicaLoad {
    let Load { name, targets, oldest_observation } = load;
    ReplicaLoad {
        name: name.to_string(),
        targets,
        oldest_observation_seconds: Some(u32::try_from(oldest_observation.as_secs()).unwrap_or(u32::MAX)),
    }
}

fn version(stored: &StoredMap) -> u128 {
    order(stored.metadata.resource_version.as_deref())
}
