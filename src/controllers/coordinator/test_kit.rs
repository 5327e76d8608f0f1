//! What tests of the coordinator stand on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::FleetContext;
use super::fleet::Fleet;
use super::known::Sighting;
use crate::domain::keys::TargetKey;
use crate::domain::replica::Term;
use crate::domain::slot::Slot;
use crate::hub::{Change, Clock};
use crate::observability::Metrics;

/// Of the target `fleet/c1`, whose status is known.
pub(super) fn fleet() -> Fleet {
    let mut fleet = Fleet::new(FleetContext {
        statuses: Arc::default(),
        chores: Arc::default(),
        exchange: Arc::default(),
        neighbours: Arc::default(),
        metrics: Metrics::new().unwrap(),
        clock: Clock::start(),
        began: Instant::now(),
        term: Term(1),
        installation: "ksit-system/ksit".to_owned(),
        round: Duration::from_secs(30),
    });
    let target = json!({
        "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": "c1", "labels": { "ksit.io/slot": Slot::of(&key()).to_string() } },
        "spec": { "clusterName": "c1" },
        "status": { "phase": "Running", "coordinatorTerm": 1, "managedBy": "ksit-system/ksit" },
    });
    fleet.on_target(Sighting::of(Change::Applied(serde_json::from_value(target).unwrap())));
    fleet
}

pub(super) fn key() -> TargetKey {
    TargetKey::new("fleet", "c1")
}
