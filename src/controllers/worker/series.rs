//! The metrics of one target, where each is to have its own.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerContext;
use crate::domain::keys::TargetKey;
use crate::observability::TargetMetrics;

/// They go when this is dropped: another replica may have the target then.
pub(super) struct TargetSeries {
    context: Arc<WorkerContext>,
    target: TargetKey,
}

impl TargetSeries {
    /// None where they are not wanted.
    pub(super) fn of(context: &Arc<WorkerContext>, target: &TargetKey) -> Option<Self> {
        let wanted = context.settings.target_metrics == TargetMetrics::On;
        wanted.then(|| Self { context: context.clone(), target: target.clone() })
    }

    pub(super) fn round_took(&self, time: Duration) {
        self.context.metrics.target_round_seconds.with_label_values(&self.labels()).set(time.as_secs_f64());
    }

    fn labels(&self) -> [&str; 2] {
        [self.target.namespace(), self.target.name()]
    }
}

impl Drop for TargetSeries {
    fn drop(&mut self) {
        // An error says that there was none.
        let _ = self.context.metrics.target_round_seconds.remove_label_values(&self.labels());
    }
}
