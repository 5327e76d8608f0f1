//! The coordinator's measurements as Prometheus metrics.

use std::time::Duration;

use crate::domain::aggregate::{ClusterState, Counts, VersionCount};
use crate::domain::coordinator::{Figures, Load, Metric};
use crate::domain::keys::IntegrationKey;
use crate::domain::managed::{self, ResourceSum};
use crate::observability::{Metrics, ReconcileResult, as_gauge};

/// `took`: time of the decision that the measurement belongs to.
pub(super) fn measure(metrics: &Metrics, metric: Metric, took: Duration) {
    match metric {
        Metric::Observation(outcome) => metrics.observations.with_label_values(&[outcome]).inc(),
        Metric::Unobserved(targets) => metrics.targets_unobserved.set_count(targets),
        Metric::Epoch(epoch) => metrics.shard_map_epoch.set_count(epoch.0),
        Metric::Members { orphaned, living } => {
            metrics.targets_orphaned.set_count(orphaned);
            metrics.members.set_count(living);
        }
        Metric::Fleet(figures) => measure_fleet(metrics, *figures),
        Metric::Integration { key, type_name, counts, versions, resources, gone, is_healthy } => {
            measure_integration(metrics, &key, &type_name, counts, is_healthy);
            measure_versions(metrics, &key, &type_name, &versions, &gone.versions);
            measure_resources(metrics, &key, &type_name, &resources, &gone.kinds);
            metrics.reconciled("integration", ReconcileResult::Success, took);
        }
        Metric::IntegrationGone { key, type_name, gone } => {
            measure_versions(metrics, &key, &type_name, &[], &gone.versions);
            measure_resources(metrics, &key, &type_name, &[], &gone.kinds);
            forget_integration(metrics, &key, &type_name);
        }
    }
}

fn measure_fleet(metrics: &Metrics, figures: Figures) {
    let Figures {
        targets,
        credentials_expiring,
        in_maintenance,
        invalid_targets,
        invalid_integrations,
        oldest_observation,
        loads,
    } = figures;
    for (state, count) in targets {
        metrics.targets.with_label_values(&[state.as_str()]).set(i64::from(count));
    }
    metrics.targets_credential_expiring.set_count(credentials_expiring);
    metrics.targets_in_maintenance.set_count(in_maintenance);
    let invalid = &metrics.invalid_objects;
    invalid.with_label_values(&["IntegrationTarget"]).set(as_gauge(invalid_targets));
    invalid.with_label_values(&["Integration"]).set(as_gauge(invalid_integrations));
    metrics.oldest_observation.set(oldest_observation.as_secs_f64());
    // Replicas that have left must not stay as loads of zero.
    metrics.replica_targets.reset();
    metrics.replica_oldest_observation.reset();
    for Load { name, targets, oldest_observation } in loads {
        metrics.replica_targets.with_label_values(&[name.as_str()]).set(i64::from(targets));
        let age = oldest_observation.as_secs_f64();
        metrics.replica_oldest_observation.with_label_values(&[name.as_str()]).set(age);
    }
}

fn measure_integration(
    metrics: &Metrics,
    key: &IntegrationKey,
    type_name: &str,
    counts: Counts,
    is_healthy: Option<bool>,
) {
    let labels = [key.namespace(), key.name(), type_name];
    for (state, count) in counts.by_state() {
        let labels = [labels[0], labels[1], labels[2], state.as_str()];
        metrics.integration_targets.with_label_values(&labels).set(i64::from(count));
    }
    match is_healthy {
        None => drop(metrics.integration_healthy.remove_label_values(&labels)),
        Some(is_healthy) => metrics.integration_healthy.with_label_values(&labels).set(i64::from(is_healthy)),
    }
}

fn measure_versions(
    metrics: &Metrics,
    key: &IntegrationKey,
    type_name: &str,
    versions: &[VersionCount],
    gone: &[String],
) {
    let labels = |version| [key.namespace(), key.name(), type_name, version];
    for version in gone {
        let _ = metrics.integration_versions.remove_label_values(&labels(version));
    }
    for VersionCount { version, clusters } in versions {
        metrics.integration_versions.with_label_values(&labels(version)).set(i64::from(*clusters));
    }
}

fn measure_resources(
    metrics: &Metrics,
    key: &IntegrationKey,
    type_name: &str,
    resources: &[ResourceSum],
    gone: &[String],
) {
    let series = &metrics.integration_resources;
    for kind in gone {
        for (state, _) in states(&managed::Counts::default()) {
            let _ = series.remove_label_values(&[key.namespace(), key.name(), type_name, kind, state]);
        }
    }
    for ResourceSum { kind, counts, clusters: _ } in resources {
        for (state, count) in states(counts) {
            let labels = [key.namespace(), key.name(), type_name, kind, state];
            series.with_label_values(&labels).set(i64::from(count));
        }
    }
}

fn states(counts: &managed::Counts) -> [(&'static str, u32); 5] {
    [
        ("healthy", counts.healthy()),
        ("progressing", counts.progressing),
        ("suspended", counts.suspended),
        ("failing", counts.failing),
        ("unknown", counts.unknown),
    ]
}

fn forget_integration(metrics: &Metrics, key: &IntegrationKey, type_name: &str) {
    let labels = [key.namespace(), key.name(), type_name];
    let _ = metrics.integration_healthy.remove_label_values(&labels);
    for state in ClusterState::ALL {
        let labels = [labels[0], labels[1], labels[2], state.as_str()];
        let _ = metrics.integration_targets.remove_label_values(&labels);
    }
}
