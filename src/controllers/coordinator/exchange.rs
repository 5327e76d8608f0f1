//! What the two halves of the coordinator tell each other: who knows the fleet, and who keeps the map.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::api::ReplicaLoad;
use crate::domain::replica::Incarnation;
use crate::domain::weights::Weights;

#[derive(Debug)]
pub struct Exchange {
    /// Targets in each slot.
    pub weights: watch::Sender<Weights>,
    /// Load and freshness of each replica.
    pub loads: watch::Sender<Vec<ReplicaLoad>>,
    heard: Mutex<BTreeMap<Incarnation, Duration>>,
}

impl Default for Exchange {
    fn default() -> Self {
        let (weights, loads) = (watch::Sender::default(), watch::Sender::default());
        Self { weights, loads, heard: Mutex::default() }
    }
}

impl Exchange {
    /// Something came from this process.
    pub fn hear(&self, process: &Incarnation, now: Duration) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // A former process of the replica will not be heard again.
        heard.retain(|former, _| former.name != process.name || former == process);
        heard.insert(process.clone(), now);
    }

    pub fn heard(&self, process: &Incarnation) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).get(process).copied()
    }
}
