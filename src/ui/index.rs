//! The fleet in memory, as its watches deliver it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use tokio::sync::watch;

use super::params::Access;
use crate::api::convert::object_key;
use crate::api::{Integration, IntegrationTarget, IntegrationTargetStatus, ShardMap};
use crate::domain::keys::ObjectKey;
use crate::hub::Change;
use crate::lists::ClusterRow;

/// The fleet, and a counter of its changes. Shared by all requests.
pub(super) struct Index {
    fleet: RwLock<Fleet>,
    version: watch::Sender<u64>,
}

/// Objects of the hub.
#[derive(Default)]
pub(super) struct Fleet {
    /// The clusters.
    pub(super) clusters: BTreeMap<ObjectKey, Cluster>,
    /// The Integrations. Lists of clusters are left out of their statuses.
    pub(super) integrations: BTreeMap<ObjectKey, Integration>,
    /// One for each installation.
    pub(super) maps: BTreeMap<ObjectKey, ShardMap>,
    /// Kinds that were listed: until then nothing can be said.
    pub(super) listed: BTreeSet<&'static str>,
    /// The last change of each namespace, and of all.
    changed: (BTreeMap<Arc<str>, u64>, u64),
}

impl Fleet {
    /// Number of the last change of what a user may see. Changes of other namespaces do not show in it.
    pub(super) fn version(&self, access: &Access) -> u64 {
        let (namespaces, all) = &self.changed;
        let allowed = namespaces.iter().filter(|(name, _)| access.allows(name)).map(|(_, version)| *version);
        allowed.max().unwrap_or_default().max(*all)
    }

    /// Namespaces with a cluster or an Integration.
    pub(super) fn namespaces(&self) -> BTreeSet<String> {
        let keys = self.clusters.keys().chain(self.integrations.keys());
        keys.map(|key| key.namespace().to_owned()).collect()
    }
}

/// One cluster.
pub(super) struct Cluster {
    /// The parts that lists show.
    pub(super) row: ClusterRow,
    spec_name: String,
    paused: bool,
    status: Packed,
}

impl Cluster {
    fn new(target: &IntegrationTarget) -> Self {
        let status = target.status.as_ref().map(Packed::new).unwrap_or_default();
        let is_paused = target.spec.paused || target.spec.paused_until.is_some();
        Self { row: ClusterRow::from(target), spec_name: target.spec.cluster_name.clone(), paused: is_paused, status }
    }

    /// `spec.clusterName`.
    pub(super) fn cluster_name(&self) -> &str {
        &self.spec_name
    }

    /// Whether a user has paused it, or had.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// The whole status.
    pub(super) fn status(&self) -> IntegrationTargetStatus {
        self.status.unpack()
    }
}

/// A status as compressed JSON: about an eighth of its size. Ten thousand are kept, and one is shown at a time.
#[derive(Default)]
struct Packed(Box<[u8]>);

impl Packed {
    fn new(status: &IntegrationTargetStatus) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let written = serde_json::to_vec(status).map(|json| encoder.write_all(&json));
        match (written, encoder.finish()) {
            (Ok(Ok(())), Ok(bytes)) => Self(bytes.into_boxed_slice()),
            // Writing to memory does not fail.
            _ => Self::default(),
        }
    }

    fn unpack(&self) -> IntegrationTargetStatus {
        let mut json = Vec::new();
        match DeflateDecoder::new(&*self.0).read_to_end(&mut json) {
            Ok(_) => serde_json::from_slice(&json).unwrap_or_default(),
            Err(_) => IntegrationTargetStatus::default(),
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self { fleet: RwLock::default(), version: watch::Sender::new(0) }
    }
}

impl Index {
    /// The fleet as it is now. Changes wait while the result is held: don't await meanwhile.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Fleet> {
        self.fleet.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes with each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Wakes all readers without a change of an object, such as when the statuses have become stale.
    pub(super) fn touch(&self) {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        fleet.changed.1 = self.next();
    }

    /// Wakes the readers, who wait for the lock until the version is stored.
    fn next(&self) -> u64 {
        self.version.send_modify(|version| *version += 1);
        *self.version.borrow()
    }

    /// Applies a change of the clusters.
    pub(super) fn apply_target(self: &Arc<Self>, change: Change<IntegrationTarget>) {
        let change = change.map(|target| (object_key(&*target), Cluster::new(&target)));
        self.apply("IntegrationTarget", change, |fleet| &mut fleet.clusters);
    }

    /// Applies a change of the Integrations.
    pub(super) fn apply_integration(&self, change: Change<Integration>) {
        let change = change.map(|mut integration| {
            // A hundred clusters each, which are among the clusters too.
            if let Some(status) = &mut integration.status {
                status.clusters = Vec::new();
            }
            (object_key(&*integration), *integration)
        });
        self.apply("Integration", change, |fleet| &mut fleet.integrations);
    }

    /// Applies a change of the ShardMaps.
    pub(super) fn apply_map(&self, change: Change<ShardMap>) {
        let change = change.map(|map| (object_key(&*map), *map));
        self.apply("ShardMap", change, |fleet| &mut fleet.maps);
    }

    fn apply<T>(
        &self,
        kind: &'static str,
        change: Change<(ObjectKey, T)>,
        of: impl Fn(&mut Fleet) -> &mut BTreeMap<ObjectKey, T>,
    ) {
        let mut fleet = self.fleet.write().unwrap_or_else(PoisonError::into_inner);
        let namespace = match change {
            Change::Applied(applied) => {
                let namespace = Arc::from(applied.0.namespace());
                of(&mut fleet).insert(applied.0, applied.1);
                Some(namespace)
            }
            Change::Deleted(key) => {
                of(&mut fleet).remove(&key);
                Some(Arc::from(key.namespace()))
            }
            Change::Listed(keys) => {
                of(&mut fleet).retain(|key, _| keys.contains(key));
                fleet.listed.insert(kind);
                None
            }
        };
        let version = self.next();
        match namespace {
            Some(namespace) => drop(fleet.changed.0.insert(namespace, version)),
            None => fleet.changed.1 = version,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn target(name: &str) -> IntegrationTarget {
        serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": {"name": name, "namespace": "fleet"}, "spec": {"clusterName": name},
            "status": {"phase": "Running", "message": "1/1 tools healthy",
                "history": [{"time": "2026-01-01T00:00:00Z", "from": "Failed", "to": "Running", "reason": "Healthy"}]}}))
        .unwrap()
    }

    #[test]
    fn clusters_are_kept_whole_until_they_are_deleted() {
        let index = Arc::new(Index::default());
        let berlin = target("berlin");
        index.apply_target(Change::Applied(Box::new(berlin.clone())));
        index.apply_target(Change::Applied(Box::new(target("oslo"))));
        let key = object_key(&berlin);
        assert_eq!(index.read().clusters[&key].status(), berlin.status.unwrap());
        assert!(index.read().listed.is_empty());
        let before = index.read().version(&Access::All);
        index.apply_target(Change::Listed([key.clone()].into()));
        assert_eq!(index.read().clusters.keys().collect::<Vec<_>>(), [&key]);
        assert!(index.read().listed.contains("IntegrationTarget") && index.read().version(&Access::All) > before);
        index.apply_target(Change::Deleted(key));
        assert!(index.read().clusters.is_empty());
    }

    #[test]
    fn change_of_another_namespace_is_none() {
        let index = Arc::new(Index::default());
        index.apply_target(Change::Applied(Box::new(target("berlin"))));
        let stranger = Access::Only(["other".to_owned()].into());
        let own = Access::Only(["fleet".to_owned()].into());
        assert_eq!((index.read().version(&stranger), index.read().version(&own)), (0, 1));
        index.touch();
        assert_eq!((index.read().version(&stranger), index.read().version(&own)), (2, 2));
    }
}
