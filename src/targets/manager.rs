//! Every target that this replica looks after, each with one owner.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::cluster::{Cluster, Limits};
use super::connection::Connection;
use crate::domain::keys::TargetKey;
use crate::domain::reason::Failure;

/// Holds one [`Cluster`] for each target. A cluster that is let go closes its connection.
pub struct ClusterManager {
    limits: Arc<Limits>,
    clusters: Mutex<HashMap<TargetKey, Arc<Cluster>>>,
}

impl ClusterManager {
    pub fn new(limits: Arc<Limits>) -> Self {
        Self { limits, clusters: Mutex::default() }
    }

    /// The cluster of `target`, reached by `connection`. The connection that is open is kept if nothing about it has
    /// changed, and replaced if its address or credential has.
    pub fn ensure(&self, target: &TargetKey, connection: Connection) -> Result<Arc<Cluster>, Failure> {
        if let Some(cluster) = self.lock().get(target).filter(|cluster| cluster.connection().is_same(&connection)) {
            return Ok(cluster.clone());
        }
        let cluster = Arc::new(Cluster::new(connection, self.limits.clone())?);
        self.lock().insert(target.clone(), cluster.clone());
        Ok(cluster)
    }

    /// Ends everything of `target`.
    pub fn forget(&self, target: &TargetKey) {
        self.lock().remove(target);
    }

    pub fn len(&self) -> usize {
        self.lock().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<TargetKey, Arc<Cluster>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
