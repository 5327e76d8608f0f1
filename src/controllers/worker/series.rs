//! The metrics of one target, where each is to have its own.

use std::sync::Arc;
use std::time::Duration;

use super::WorkerContext;
use crate::domain::keys::TargetKey;
use crate::domain::verdict::Phase;
use crate::observability::Metrics;

/// They go when this is dropped: another replica may have the target then.
pub(super) struct TargetSeries {
    context: Arc<WorkerContext>,
    target: TargetKey,
}

impl TargetSeries {
    /// None where they are not wanted.
    pub(super) fn of(context: &Arc<WorkerContext>, target: &TargetKey) -> Option<Self> {
        let wanted = context.settings.target_metrics;
        wanted.then(|| Self { context: context.clone(), target: target.clone() })
    }

    pub(super) fn round_took(&self, time: Duration) {
        self.context.metrics.target_round_seconds.with_label_values(&self.labels()).set(time.as_secs_f64());
    }

    pub(super) fn concluded(&self, phase: Phase) {
        let healthy = &self.context.metrics.target_healthy;
        match phase {
            Phase::Running => healthy.with_label_values(&self.labels()).set(1),
            Phase::Failed | Phase::Unknown | Phase::Other(_) => healthy.with_label_values(&self.labels()).set(0),
            // Neither healthy nor not.
            Phase::Paused | Phase::Initializing | Phase::NotInstalled => {
                let _ = healthy.remove_label_values(&self.labels());
            }
        }
    }

    fn labels(&self) -> [&str; 2] {
        [self.target.namespace(), self.target.name()]
    }
}

impl Drop for TargetSeries {
    fn drop(&mut self) {
        let Metrics { target_healthy, target_round_seconds, .. } = &self.context.metrics;
        // An error says that there was none.
        let _ = target_healthy.remove_label_values(&self.labels());
        let _ = target_round_seconds.remove_label_values(&self.labels());
    }
}
