//! The metrics, each declared once with its help text and labels. Labels are finite: those that name a cluster are in
//! `fleet_metrics`, but for `ksit_target_round_seconds`, which is there by choice.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::process;

/// Upper bounds in seconds for whatever talks to a cluster.
const SECONDS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

macro_rules! metrics {
    ($($(#[doc = $help:literal])+ $field:ident: $type:ident = $make:ident($name:literal $(, $labels:expr)?);)+) => {
        /// Everything that `/metrics` shows.
        #[derive(Clone, Debug)]
        pub struct Metrics {
            registry: Registry,
            $($(#[doc = $help])+ pub $field: $type,)+
        }

        impl Metrics {
            /// Name and help of every metric.
            pub const TABLE: &'static [(&'static str, &'static str)] =
                &[$(($name, concat!($($help),+).trim_ascii_start()),)+];

            /// Name and labels of every metric.
            pub const LABELS: &'static [(&'static str, &'static [&'static str])] =
                &[$(($name, only(&[$($labels)?])),)+];

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
    /// Reconciliations by controller and result (success, error), as controller-runtime counts them.
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
    /// Clusters whose credential is about to end, as their condition CredentialExpiring says.
    targets_credential_expiring: FleetGauge = fleet_gauge("ksit_targets_credential_expiring");
    /// Rounds that could not read their cluster, by reason.
    round_failures: IntCounterVec = counters("ksit_round_failures_total", &["reason"]);
    /// Rounds that panicked; the cluster is left alone for a while.
    round_panics: IntCounter = counter("ksit_round_panics_total");
    /// Connections of this replica to clusters that are open.
    connections: IntGauge = gauge("ksit_connections");
    /// Times that a cluster ended watches, which are begun again then.
    watches_ended: IntCounter = counter("ksit_watches_ended_total");
    /// Whether series of healthy clusters are left out (1), because there are too many for --target-metrics=auto.
    target_metrics_limited: FleetGauge = fleet_gauge("ksit_target_metrics_limited");
    /// Time that the last round of a cluster took, with its wait for a turn. With --target-metrics=on.
    target_round_seconds: GaugeVec = real_gauges("ksit_target_round_seconds", &["namespace", "target"]);
    /// Status writes by outcome (written, superseded, refused, retried).
    status_writes: IntCounterVec = counters("ksit_status_writes_total", &["kind", "outcome"]);
    /// Statuses that wait to be written.
    status_queue: FleetGauge = fleet_gauge("ksit_status_queue_depth");
    /// Statuses that a newer one of the same object replaced before they were written.
    status_queue_superseded: IntCounter = counter("ksit_status_queue_superseded_total");
    /// Transitions that got no Event: too many waited, or the hub took none. Their statuses were written.
    events_dropped: IntCounter = counter("ksit_events_dropped_total");
    /// Time that the renewal of a Lease took, by whose it is (member, coordinator).
    lease_renew_seconds: HistogramVec = histograms("ksit_lease_renew_seconds", &["lease"]);
    /// Term of this replica's reign; 0 while it doesn't lead.
    coordinator_term: IntGauge = gauge("ksit_coordinator_term");
    /// Version of the shard map that this replica published last.
    shard_map_epoch: FleetGauge = fleet_gauge("ksit_shard_map_epoch");
    /// Replicas that live, as the coordinator sees it.
    members: FleetGauge = fleet_gauge("ksit_members");
    /// Clusters that each replica looks after, as the coordinator sees it; the most by the mean are the imbalance.
    replica_targets: IntGaugeVec = gauges("ksit_replica_targets", &["replica"]);
    /// Age of the oldest observation of any cluster of each replica, as the coordinator sees it.
    replica_oldest_observation: GaugeVec =
        real_gauges("ksit_replica_oldest_observation_seconds", &["replica"]);
    /// Clusters whose slot has no living owner.
    targets_orphaned: FleetGauge = fleet_gauge("ksit_targets_orphaned");
    /// Clusters that their present owner hasn't looked at in this reign.
    targets_unobserved: FleetGauge = fleet_gauge("ksit_targets_unobserved");
    /// Age of the oldest observation of any cluster.
    oldest_observation: FleetGauge = fleet_gauge("ksit_oldest_observation_seconds");
    /// What workers said of a cluster, by whether it was believed (accepted, not_owner, stale_epoch, superseded);
    /// not_a_member counts messages that no replica sent.
    observations: IntCounterVec = counters("ksit_observations_total", &["outcome"]);
    /// Bytes of the messages that came from workers in other replicas.
    report_bytes: IntCounter = counter("ksit_report_bytes_total");
    /// Links to the coordinator that could not be made.
    links_failed: IntCounter = counter("ksit_report_links_failed_total");
    /// Clusters whose report this replica leaves out, because it ended links to the coordinator; they become Unknown.
    reports_skipped: IntGauge = gauge("ksit_reports_skipped");
    /// Links to the coordinator that ended although it still led.
    links_ended: IntCounter = counter("ksit_report_links_ended_total");
    /// Claims of a term on the ShardMap that failed, for another cause than a newer version of it.
    term_claims_failed: IntCounter = counter("ksit_term_claims_failed_total");
    /// 1, with the version and the commit that this program was built from.
    build_info: IntGaugeVec = gauges("ksit_build_info", &["version", "revision"]);
    /// Number of open file descriptors.
    open_fds: IntGauge = gauge("process_open_fds");
    /// Maximum number of open file descriptors.
    max_fds: IntGauge = gauge("process_max_fds");
    /// Resident memory size in bytes.
    resident_memory: IntGauge = gauge("process_resident_memory_bytes");
    /// Start time of the process since unix epoch in seconds.
    start_time: IntGauge = gauge("process_start_time_seconds");
    /// Stored objects whose spec can't be used, by kind; their status says why.
    invalid_objects: IntGaugeVec = gauges("ksit_invalid_objects", &["kind"]);
}

/// A gauge that the coordinator alone has: others show no zero in its place.
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

/// How a reconciliation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    Success,
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

    /// This replica leads no more: it shows nothing of the fleet, for its figures are those of a time that has passed.
    pub fn forget_fleet(&self) {
        self.coordinator_term.set(0);
        let gauges = [&self.targets, &self.integration_targets, &self.integration_healthy, &self.invalid_objects];
        gauges.into_iter().chain([&self.replica_targets]).for_each(IntGaugeVec::reset);
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

    /// The text format of Prometheus.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        process::measure(self);
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

/// The one list of labels, where there is one.
const fn only(labels: &'static [&'static [&'static str]]) -> &'static [&'static str] {
    if labels.is_empty() { &[] } else { labels[0] }
}

fn counter(name: &str, help: &str) -> Result<IntCounter, prometheus::Error> {
    IntCounter::new(name, help)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

/// A count as a gauge takes it.
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
    fn replica_that_leads_no_more_shows_nothing_of_the_fleet() {
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
    fn speaks_the_names_of_controller_runtime() {
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
