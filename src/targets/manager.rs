//! Maps targets to their [`Cluster`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::cluster::Cluster;
use super::connection::Connection;
use super::limits::Limits;
use crate::domain::keys::TargetKey;

/// The clusters of all targets of this process. Never blocks on a target.
pub struct ClusterManager {
    limits: Arc<Limits>,
    clusters: Mutex<HashMap<TargetKey, Arc<Cluster>>>,
}

impl ClusterManager {
    /// Starts without targets.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { limits, clusters: Mutex::default() }
    }

    /// The cluster of a target. If the connection or its credential differs from before, closes the old connection and
    /// returns a new cluster. A new token of the same account is presented on the connection that is open.
    pub fn ensure(&self, key: &TargetKey, connection: Connection) -> Arc<Cluster> {
        let mut clusters = self.clusters();
        if let Some(cluster) = clusters.get(key) {
            if *cluster.connection() == connection || cluster.connection().adopt_token(&connection) {
                return cluster.clone();
            }
            cluster.close();
        }
        let cluster = Arc::new(Cluster::new(connection, self.limits.clone()));
        clusters.insert(key.clone(), cluster.clone());
        cluster
    }

    /// Removes a target and closes its connection.
    pub fn forget(&self, key: &TargetKey) {
        let removed = self.clusters().remove(key);
        if let Some(cluster) = removed {
            cluster.close();
        }
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.clusters().values().filter(|cluster| cluster.is_connected()).count()
    }

    /// Number of targets, connected or not.
    pub fn len(&self) -> usize {
        self.clusters().len()
    }

    /// Whether there are no targets.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn clusters(&self) -> MutexGuard<'_, HashMap<TargetKey, Arc<Cluster>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
