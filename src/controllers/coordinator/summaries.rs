//! Integrations, summed up from the statuses of their targets.

use jiff::Timestamp;
use tokio::time::Instant;

use super::fleet::{Fleet, Tool};
use super::publish::integration_write;
use crate::api::convert;
use crate::domain::aggregate::{Counts, Summary, summarize};
use crate::domain::desired::DesiredIntegration;
use crate::domain::keys::IntegrationKey;
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;
use crate::observability::ReconcileResult;

/// An Integration's status is written at most this often: a thousand clusters may change at once.
const SUMMARY_GAP: std::time::Duration = std::time::Duration::from_secs(1);

impl Fleet {
    pub(super) fn mark_namespace(&mut self, namespace: &str) {
        let keys: Vec<IntegrationKey> =
            self.integrations.keys().filter(|key| key.namespace() == namespace).cloned().collect();
        keys.iter().for_each(|key| self.mark(key));
    }

    /// Sums the Integration up soon: at once, or a second after the last time.
    pub(super) fn mark(&mut self, key: &IntegrationKey) {
        let now = Instant::now();
        if let Some(tool) = self.integrations.get_mut(key) {
            tool.due.get_or_insert_with(|| tool.last.map_or(now, |last| now.max(last + SUMMARY_GAP)));
        }
    }

    /// Sums up one that is due; others that are wait for what came in meanwhile.
    pub(super) fn summarize_due(&mut self) {
        let now = Instant::now();
        let is_due = |tool: &Tool| tool.due.is_some_and(|due| due <= now);
        if let Some((key, _)) = self.integrations.iter().find(|(_, tool)| is_due(tool)) {
            let key = key.clone();
            let started = std::time::Instant::now();
            self.summarize(&key, now);
            self.context.metrics.reconciled("integration", ReconcileResult::Success, started.elapsed());
        }
    }

    fn summarize(&mut self, key: &IntegrationKey, now: Instant) {
        let Some(tool) = self.integrations.get(key) else { return };
        let writer = self.writer();
        let summary = self.summary(&tool.desired, writer.now);
        self.measure(key, &tool.desired.type_name, &summary);
        let former = tool.status.as_ref();
        let news = if self.is_left_alone(former.and_then(|status| status.managed_by.as_deref())) {
            None
        } else {
            let status = convert::integration_status(&tool.desired, &summary, former, &writer);
            let is_known = former.is_some_and(|former| convert::has_same_meaning_integration(former, &status));
            (!is_known || tool.foreign).then(|| (integration_write(&tool.object, former, &status, &summary), status))
        };
        let Some(tool) = self.integrations.get_mut(key) else { return };
        (tool.due, tool.last) = (None, Some(now));
        let Some((write, status)) = news else { return };
        (tool.status, tool.foreign) = (Some(status), false);
        match write {
            Ok((id, write)) => self.context.statuses.post(id, write),
            Err(error) => tracing::error!(%error, integration = %key, "a status can't be made into JSON"),
        }
    }

    fn summary<'a>(&'a self, integration: &'a DesiredIntegration, now: Timestamp) -> Summary<'a> {
        if let Err(error) = &integration.components {
            return Summary::without_clusters(Phase::Failed, Reason::InvalidConfig, error.clone());
        }
        if !integration.enabled {
            return Summary::without_clusters(Phase::Paused, Reason::Paused, "enabled is false");
        }
        let found = self.targets.values().filter_map(|target| {
            let desired = target.desired.as_ref().ok().filter(|desired| integration.concerns(desired))?;
            Some(convert::cluster_of(integration, desired, target.summary(), now))
        });
        summarize(&integration.selection, found.collect())
    }

    fn measure(&self, key: &IntegrationKey, type_name: &str, summary: &Summary<'_>) {
        let Counts { total: _, running, failed, unknown, initializing, paused, not_installed } = summary.counts;
        let counts = [
            (Phase::Running, running),
            (Phase::Failed, failed),
            (Phase::Unknown, unknown),
            (Phase::Initializing, initializing),
            (Phase::Paused, paused),
            (Phase::NotInstalled, not_installed),
        ];
        let metrics = &self.context.metrics;
        let labels = [key.namespace(), key.name(), type_name];
        for (phase, count) in counts {
            let labels = [labels[0], labels[1], labels[2], phase.as_str()];
            metrics.integration_targets.with_label_values(&labels).set(i64::from(count));
        }
        match summary.phase {
            // Left alone on purpose: neither healthy nor not.
            Phase::Paused => drop(metrics.integration_healthy.remove_label_values(&labels)),
            phase => metrics.integration_healthy.with_label_values(&labels).set(i64::from(phase == Phase::Running)),
        }
    }
}
