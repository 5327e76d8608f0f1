//! What tests of the coordinator stand on.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::FleetContext;
use super::cached_status::TargetObject;
use super::fleet::Fleet;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::replica::{Epoch, ReplicaName, Term};
use crate::domain::report::TargetReport;
use crate::domain::slot::Slot;
use crate::domain::verdict::{Reach, TargetVerdict, ToolVerdict};
use crate::hub::{Change, Clock};
use crate::observability::{Metrics, TargetMetrics};
use crate::reports::IsMember;

/// Of the target `fleet/c1`, whose status is known.
pub(super) fn fleet() -> Fleet {
    fleet_with(Arc::new(|_| true))
}

/// As above, where only some may report.
pub(super) fn fleet_with(is_member: IsMember) -> Fleet {
    let mut fleet = empty_fleet(is_member);
    let status = json!({ "phase": "Running", "coordinatorTerm": 1, "managedBy": "ksit-system/ksit" });
    fleet.on_target(target(&json!({ "clusterName": "c1" }), &slot_label(), &status));
    fleet
}

pub(super) fn empty_fleet(is_member: IsMember) -> Fleet {
    Fleet::new(FleetContext {
        statuses: Arc::default(),
        repairs: Arc::default(),
        exchange: Arc::default(),
        other_installations: Arc::default(),
        metrics: Metrics::new().unwrap(),
        target_metrics: TargetMetrics::Auto,
        clock: Clock::start(),
        began: Instant::now(),
        term: Term(1),
        installation: "ksit-system/ksit".to_owned(),
        is_member,
        round: Duration::from_secs(30),
    })
}

/// The target `fleet/c1` as a user writes it, with what ksit has written beside.
pub(super) fn target(spec: &Value, labels: &Value, status: &Value) -> Change<TargetObject> {
    let object = json!({
        "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": { "namespace": "fleet", "name": "c1", "labels": labels }, "spec": spec, "status": status,
    });
    TargetObject::of(Change::Applied(serde_json::from_value(object).unwrap()))
}

pub(super) fn slot_label() -> Value {
    json!({ "ksit.io/slot": Slot::of(&key()).to_string() })
}

/// Writes of statuses that the fleet has queued since the last time.
pub(super) fn writes(fleet: &Fleet) -> u64 {
    let statuses = &fleet.context.statuses;
    let writes =
        statuses.pending() as u64 + statuses.superseded() - fleet.context.metrics.status_queue_superseded.get();
    statuses.clear();
    writes
}

/// The hub shows the target with its present status.
pub(super) fn echo(fleet: &mut Fleet, spec: &Value) {
    let status = json!(fleet.targets[&key()].summary());
    fleet.on_target(target(spec, &slot_label(), &status));
}

/// So many targets with one tool each, of which some are broken.
pub(super) fn fleet_of(targets: usize, broken: usize) -> Fleet {
    let mut fleet = fleet();
    fleet.on_target(Change::Deleted(("fleet".to_owned(), "c1".to_owned())));
    let condition = |type_: &str, status: &str| {
        json!({ "type": type_, "status": status, "reason": "Healthy", "message": "",
            "lastTransitionTime": "2026-11-30T00:00:00Z" })
    };
    for number in 0..targets {
        let (phase, ready) = if number < broken { ("Failed", "False") } else { ("Running", "True") };
        let since = "2026-11-30T00:00:00Z";
        let target = json!({
            "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "namespace": "fleet", "name": format!("n{number}") },
            "spec": { "clusterName": format!("n{number}") },
            "status": { "phase": phase, "lastTransitionTime": since,
                "conditions": [condition("Ready", ready), condition("Reachable", "True")],
                "integrations": [{ "name": "flux", "type": "flux", "phase": phase, "reason": "Healthy",
                    "lastTransitionTime": since }] },
        });
        fleet.on_target(TargetObject::of(Change::Applied(serde_json::from_value(target).unwrap())));
    }
    fleet
}

pub(super) fn key() -> TargetKey {
    TargetKey::new("fleet", "c1")
}

/// What the owner of that target says of the tools there.
pub(super) fn report(tools: Vec<(IntegrationKey, ToolVerdict)>) -> TargetReport {
    TargetReport {
        target: key(),
        verdict: Arc::new(TargetVerdict { reach: Reach::Connected, tools }),
        omitted: 0,
        mode: None,
        generation: 1,
        secret_version: Some("7".to_owned()),
        server: Some("10.0.0.1:6443".to_owned()),
        credential_ends: None,
        reported_by: ReplicaName::new("ksit-0"),
        epoch: Epoch(1),
        next: Duration::ZERO,
    }
}
