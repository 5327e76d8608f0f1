//! Per-target metric series, with `--target-metrics=on`.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerContext;
use crate::domain::keys::TargetKey;
use crate::observability::TargetMetrics;

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
