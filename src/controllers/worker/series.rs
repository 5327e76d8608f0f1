//! Metrics of rounds, and per-target series with `--target-metrics=on`.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerContext;
use crate::domain::keys::TargetKey;
use crate::domain::verdict::Outcome;
use crate::observability::{Metrics, ReconcileResult, TargetMetrics};

/// Label of the metrics of rounds.
pub(super) const CONTROLLER: &str = "integrationtarget";

/// Removes the series on drop: another replica may own the target next.
pub(super) struct TargetSeries {
    context: Arc<WorkerContext>,
    target: TargetKey,
}

impl TargetSeries {
    /// `None` unless per-target metrics are on.
    pub(super) fn of(context: &Arc<WorkerContext>, target: &TargetKey) -> Option<Self> {
        let wanted = context.settings.target_metrics == TargetMetrics::On;
        wanted.then(|| Self { context: context.clone(), target: target.clone() })
    }

    pub(super) fn set_round_time(&self, time: Duration) {
        self.context.metrics.target_round_seconds.with_label_values(&self.labels()).set(time.as_secs_f64());
    }

    fn labels(&self) -> [&str; 2] {
        [self.target.namespace(), self.target.name()]
    }
}

impl Drop for TargetSeries {
    fn drop(&mut self) {
        // An error means that the series did not exist.
        let _ = self.context.metrics.target_round_seconds.remove_label_values(&self.labels());
    }
}

/// Counts and times a round.
pub(super) fn record_round(
    metrics: &Metrics,
    series: Option<&TargetSeries>,
    outcome: Option<&Outcome>,
    took: Duration,
) {
    if let Some(series) = series {
        series.set_round_time(took);
    }
    match outcome {
        None | Some(Outcome::Read(_)) => metrics.reconciled(CONTROLLER, ReconcileResult::Success, took),
        Some(Outcome::Failed(failure)) => {
            metrics.reconciled(CONTROLLER, ReconcileResult::Error, took);
            metrics.round_failures.with_label_values(&[failure.reason.as_str()]).inc();
            tracing::debug!(reason = %failure.reason, message = failure.message, "a round failed");
        }
    }
}
