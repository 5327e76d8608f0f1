//! Declares each metric once, with help text and labels. Label values are finite: metrics that name a cluster are in
//! `fleet_metrics`, except for the opt-in `ksit_target_round_seconds`.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::process;

/// Histogram buckets for requests to clusters and the hub, in seconds.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ident = $make:ident($name:literal $(, $labels:expr)?);)+) => {
        /// All metrics of `/metrics`, except those of `FleetMetrics`.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl Metrics {
            /// Name and help text of every metric.
            pub const TABLE: &'static [(&'static str, &'static str)] =
                &[$(($name, concat!($($help),+).trim_ascii_start()),)+];

            /// Name and labels of every metric.
            pub const LABELS: &'static [(&'static str, &'static [&'static str])] =
                &[$(($name, only(&[$($labels)?])),)+];

            /// Registers all metrics in a registry of their own.
            ///
            /// # Errors
            /// Fails if two metrics have the same name, or a name or label is invalid.
            pub fn new() -> Result<Self, prometheus::Error> {
                let registry = Registry::new();
                $(
                    let $field = $make($name, concat!($($help),+).trim_ascii_start() $(, $labels)?)?;
                    registry.register(Box::new($field.clone()))?;
                )+
                let metrics = Self { registry, $($field,)+ };
                process::measure_start(&metrics);
                Ok(metrics)
            }
        }
    };
}

metrics! {
    /// Reconciliations by controller and result (success, error), as in controller-runtime.
    reconciles: IntCounterVec = counters("controller_runtime_reconcile_total", &["controller", "result"]);
    /// Reconciliations that ended in an error, by controller.
    reconcile_errors: IntCounterVec = counters("controller_runtime_reconcile_errors_total", &["controller"]);
    /// Duration of reconciliations by controller.
    reconcile_seconds: HistogramVec = histograms("controller_runtime_reconcile_time_seconds", &["controller"]);
    /// Clusters by phase.
    targets: IntGaugeVec = gauges("ksit_targets", &["phase"]);
    /// Clusters of each Integration by phase.
    integration_targets: IntGaugeVec =
        gauges("ksit_integration_targets", &["namespace", "integration", "type", "phase"]);
    /// Whether an Integration is healthy on every cluster that counts (1) or not (0).
    integration_healthy: IntGaugeVec = gauges("ksit_integration_healthy", &["namespace", "integration", "type"]);
    /// Clusters of each Integration by version of the tool; at most 20 versions, the newest.
    integration_versions: IntGaugeVec =
        gauges("ksit_integration_version_clusters", &["namespace", "integration", "type", "version"]);
    /// Objects that the tool of each Integration manages, such as Applications, by kind and state.
    integration_resources: IntGaugeVec =
        gauges("ksit_integration_resources", &["namespace", "integration", "type", "kind", "state"]);
    /// Clusters whose credential expires soon, as in their condition CredentialExpiring.
    targets_credential_expiring: FleetGauge = fleet_gauge("ksit_targets_credential_expiring");
    /// Clusters in an open maintenance window.
    targets_in_maintenance: FleetGauge = fleet_gauge("ksit_targets_in_maintenance");
    /// Rounds that failed to read their cluster, by reason.
    round_failures: IntCounterVec = counters("ksit_round_failures_total", &["reason"]);
    /// Rounds that panicked; the cluster is not checked again for a while.
    round_panics: IntCounter = counter("ksit_round_panics_total");
    /// Open connections of this replica to clusters.
    connections: IntGauge = gauge("ksit_connections");
    /// Times that a cluster ended watches, which are then restarted.
    watches_ended: IntCounter = counter("ksit_watches_ended_total");
    /// Whether series of healthy clusters are omitted (1), because there are too many for --target-metrics=auto.
    target_metrics_limited: FleetGauge = fleet_gauge("ksit_target_metrics_limited");
    /// Duration of a cluster's last round, including its wait for a permit. With --target-metrics=on.
    target_round_seconds: GaugeVec = real_gauges("ksit_target_round_seconds", &["namespace", "target"]);
    /// Status writes by outcome (written, superseded, refused, retried).
    status_writes: IntCounterVec = counters("ksit_status_writes_total", &["kind", "outcome"]);
    /// Statuses waiting to be written.
    status_queue: FleetGauge = fleet_gauge("ksit_status_queue_depth");
    /// Statuses replaced by a newer one of the same object before they were written.
    status_queue_superseded: IntCounter = counter("ksit_status_queue_superseded_total");
    /// Transitions without an Event, because too many waited or the hub rejected it. Their statuses were written.
    events_dropped: IntCounter = counter("ksit_events_dropped_total");
    /// Duration of Lease renewals, by kind of Lease (member, coordinator).
    lease_renew_seconds: HistogramVec = histograms("ksit_lease_renew_seconds", &["lease"]);
    /// Term in which this replica is the coordinator; 0 while it is not.
    coordinator_term: IntGauge = gauge("ksit_coordinator_term");
    /// Epoch of the shard map that this replica published last.
    shard_map_epoch: FleetGauge = fleet_gauge("ksit_shard_map_epoch");
    /// Live replicas, as seen by the coordinator.
    members: FleetGauge = fleet_gauge("ksit_members");
    /// Clusters owned by each replica, as seen by the coordinator; the maximum divided by the mean is the imbalance.
    replica_targets: IntGaugeVec = gauges("ksit_replica_targets", &["replica"]);
    /// Age of the oldest observation among each replica's clusters, as seen by the coordinator.
    replica_oldest_observation: GaugeVec =
        real_gauges("ksit_replica_oldest_observation_seconds", &["replica"]);
    /// Clusters whose slot has no live owner.
    targets_orphaned: FleetGauge = fleet_gauge("ksit_targets_orphaned");
    /// Clusters that their current owner has not checked in this term.
    targets_unobserved: FleetGauge = fleet_gauge("ksit_targets_unobserved");
    /// Age of the oldest observation of any cluster.
    oldest_observation: FleetGauge = fleet_gauge("ksit_oldest_observation_seconds");
    /// Reports of clusters from workers, by whether they were accepted (accepted, not_owner, stale_epoch, superseded);
    /// not_a_member counts messages that no replica sent.
    observations: IntCounterVec = counters("ksit_observations_total", &["outcome"]);
    /// Bytes of messages received from workers in other replicas.
    report_bytes: IntCounter = counter("ksit_report_bytes_total");
    /// Links to the coordinator that could not be established.
    links_failed: IntCounter = counter("ksit_report_links_failed_total");
    /// Clusters whose report this replica skips, because sending it broke links to the coordinator; they become
    /// Unknown.
    reports_skipped: IntGauge = gauge("ksit_reports_skipped");
    /// Links to the coordinator that ended although it still led.
    links_ended: IntCounter = counter("ksit_report_links_ended_total");
    /// Claims of a term on the ShardMap that failed for another reason than a conflict.
    term_claims_failed: IntCounter = counter("ksit_term_claims_failed_total");
    /// Requests to receivers of Notifiers, by outcome: Delivered, or why not.
    notifications: IntCounterVec = counters("ksit_notifications_total", &["outcome"]);
    /// Always 1, with the version and commit of this build.
    build_info: IntGaugeVec = gauges("ksit_build_info", &["version", "revision"]);
    /// Number of open file descriptors.
    open_fds: IntGauge = gauge("process_open_fds");
    /// Maximum number of open file descriptors.
    max_fds: IntGauge = gauge("process_max_fds");
    /// Resident memory size in bytes.
    resident_memory: IntGauge = gauge("process_resident_memory_bytes");
    /// Start time of the process since unix epoch in seconds.
    start_time: IntGauge = gauge("process_start_time_seconds");
    /// Stored objects with an invalid spec, by kind; see their status for the reason.
    invalid_objects: IntGaugeVec = gauges("ksit_invalid_objects", &["kind"]);
}

/// A gauge that only the coordinator exposes; other replicas omit it rather than show zero.
#[derive(Clone, Debug)]
pub struct FleetGauge(GaugeVec);

impl FleetGauge {
    pub fn set(&self, value: f64) {
        self.0.with_label_values::<&str>(&[]).set(value);
    }

    #[cfg(test)]
    pub fn get(&self) -> f64 {
        self.0.with_label_values::<&str>(&[]).get()
    }

    pub fn set_count(&self, count: impl TryInto<u32>) {
        self.set(count.try_into().map_or(f64::from(u32::MAX), f64::from));
    }
}

impl Collector for FleetGauge {
    fn desc(&self) -> Vec<&Desc> {
        self.0.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.0.collect()
    }
}

/// Result of a reconciliation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// The object was handled.
    Success,
    /// It will be retried.
    Error,
}

impl Metrics {
    /// Counts one reconciliation.
    pub fn reconciled(&self, controller: &str, outcome: ReconcileResult, took: Duration) {
        let result = match outcome {
            ReconcileResult::Success => "success",
            ReconcileResult::Error => "error",
        };
        self.reconciles.with_label_values(&[controller, result]).inc();
        self.reconcile_seconds.with_label_values(&[controller]).observe(took.as_secs_f64());
        let errors = self.reconcile_errors.with_label_values(&[controller]);
        if outcome == ReconcileResult::Error {
            errors.inc();
        }
    }

    /// Removes all metrics of the fleet when this replica stops leading, since their values are outdated.
    pub fn forget_fleet(&self) {
        self.coordinator_term.set(0);
        let gauges = [&self.targets, &self.integration_targets, &self.integration_healthy, &self.invalid_objects];
        let others = [&self.replica_targets, &self.integration_versions, &self.integration_resources];
        gauges.into_iter().chain(others).for_each(IntGaugeVec::reset);
        self.replica_oldest_observation.reset();
        for FleetGauge(gauge) in [
            &self.targets_credential_expiring,
            &self.target_metrics_limited,
            &self.status_queue,
            &self.shard_map_epoch,
            &self.members,
            &self.targets_orphaned,
            &self.targets_unobserved,
            &self.oldest_observation,
        ] {
            gauge.reset();
        }
    }

    /// Renders all metrics in the Prometheus text format.
    ///
    /// # Errors
    /// Fails if a metric has no valid form, which no value can cause.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        process::measure(self);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// Returns the only list of labels, or an empty one.
const fn only(labels: &'static [&'static [&'static str]]) -> &'static [&'static str] {
    if labels.is_empty() { &[] } else { labels[0] }
}

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    IntCounter::new(name, help)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// Converts a count for a gauge, saturating.
pub fn as_gauge(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

fn gauge(name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    IntGauge::new(name, help)
}

fn fleet_gauge(name: &str, help: &str) -> Result<FleetGauge, prometheus::Error> {
    real_gauges(name, help, &[]).map(FleetGauge)
}

fn real_gauges(name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec, prometheus::Error> {
    GaugeVec::new(Opts::new(name, help), labels)
}

fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec, prometheus::Error> {
    IntGaugeVec::new(Opts::new(name, help), labels)
}

fn histograms(name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec, prometheus::Error> {
    HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_coordinator_exposes_no_fleet_metrics() {
        let metrics = Metrics::new().unwrap();
        let is_shown = |name: &str| metrics.render().unwrap().lines().any(|line| line.starts_with(name));
        assert!(!is_shown("ksit_members"), "it never led");
        metrics.members.set_count(3_usize);
        metrics.targets.with_label_values(&["Running"]).set(7);
        assert!(is_shown("ksit_members 3") && is_shown("ksit_targets{"));
        metrics.forget_fleet();
        assert!(!is_shown("ksit_members") && !is_shown("ksit_targets{"));
        assert!(is_shown("ksit_coordinator_term 0") && is_shown("ksit_build_info{revision="));
    }

    #[test]
    fn reconcile_metrics_are_named_as_in_controller_runtime() {
        let metrics = Metrics::new().unwrap();
        metrics.reconciled("integrationtarget", ReconcileResult::Error, Duration::from_millis(30));
        let text = metrics.render().unwrap();
        for line in [
            "controller_runtime_reconcile_total{controller=\"integrationtarget\",result=\"error\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"integrationtarget\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"integrationtarget\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn every_metric_has_a_help_text() {
        assert!(Metrics::TABLE.iter().all(|(name, help)| !name.is_empty() && help.ends_with('.')));
    }
}
