//! Integrations, summed up from the statuses of their targets.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::{Fleet, Target, Tool};
use super::publish::integration_write;
use crate::api::{IntegrationResult, IntegrationTargetStatus, convert};
use crate::domain::aggregate::{Summary, Tally};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;
use crate::observability::ReconcileResult;

/// An Integration's status is written at most this often: a thousand clusters may change at once.
const SUMMARY_GAP: Duration = Duration::from_secs(1);

/// And one that is long, for each KiB of it. A hundred clusters that fail are 26 KiB: several times what one of theirs
/// costs the hub, and all replicas get it.
const GAP_OF_A_KIB: Duration = Duration::from_millis(200);

impl Fleet {
    pub(super) fn mark_namespace(&mut self, namespace: &str) {
        let keys: Vec<IntegrationKey> =
            self.integrations.keys().filter(|key| key.namespace() == namespace).cloned().collect();
        keys.iter().for_each(|key| self.mark(key));
    }

    /// Has every Integration that may want it count the target as it stands.
    pub(super) fn count(&mut self, key: &TargetKey) {
        let target = self.targets.get(key);
        for tool in self.integrations.values_mut().filter(|tool| tool.desired.key.namespace() == key.namespace()) {
            tool.count(key, target);
        }
    }

    /// Counts all targets for an Integration that wants others than before.
    pub(super) fn count_anew(&mut self, key: &IntegrationKey) {
        let Some(tool) = self.integrations.get_mut(key) else { return };
        tool.tally = Tally::new(&tool.desired.selection);
        self.targets.iter().for_each(|(key, target)| tool.count(key, Some(target)));
    }

    /// Sums the Integration up soon: at once, or some time after the last time.
    pub(super) fn mark(&mut self, key: &IntegrationKey) {
        if let Some(tool) = self.integrations.get_mut(key) {
            tool.changed = true;
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.integrations.values().filter_map(Tool::due).min()
    }

    /// Sums up one that is due; others that are wait for what came in meanwhile.
    pub(super) fn summarize_due(&mut self) {
        let is_due = |tool: &Tool| tool.due().is_some_and(|due| due <= Instant::now());
        if let Some((key, _)) = self.integrations.iter().find(|(_, tool)| is_due(tool)) {
            let key = key.clone();
            let started = std::time::Instant::now();
            self.summarize(&key);
            self.context.metrics.reconciled("integration", ReconcileResult::Success, started.elapsed());
        }
    }

    fn summarize(&mut self, key: &IntegrationKey) {
        let now = Instant::now();
        let Some(tool) = self.integrations.get(key) else { return };
        let writer = self.writer();
        let summary = self.summary(tool);
        self.measure(key, &tool.desired.type_name, &summary);
        let former = tool.status.as_ref();
        let news = if self.is_left_alone(former.and_then(|status| status.managed_by.as_deref())) {
            None
        } else {
            let status = convert::integration_status(&tool.desired, &summary, former, &writer);
            let meaning = convert::integration_meaning(&status);
            let former_meaning = former.map(convert::integration_meaning).filter(|_| !tool.foreign);
            let meanings = (former_meaning, meaning);
            (former_meaning != Some(meaning))
                .then(|| (integration_write(&tool.object, former, &status, meanings, &summary), status))
        };
        let Some(tool) = self.integrations.get_mut(key) else { return };
        (tool.changed, tool.last) = (false, Some(now));
        let Some((write, status)) = news else { return };
        (tool.status, tool.foreign) = (Some(status), false);
        match write {
            Ok((id, write)) => {
                tool.bytes = write.status.len();
                self.context.statuses.enqueue(id, write);
            }
            Err(error) => tracing::error!(%error, integration = %key, "a status can't be made into JSON"),
        }
    }

    fn summary<'a>(&'a self, tool: &'a Tool) -> Summary<'a> {
        let integration = &tool.desired;
        if let Err(error) = &integration.components {
            return Summary::without_clusters(Phase::Failed, Reason::InvalidConfig, error.clone());
        }
        if !integration.enabled {
            return Summary::without_clusters(Phase::Paused, Reason::Paused, "enabled is false");
        }
        tool.tally.summarize(integration.max_unhealthy, |target| {
            let status = self.targets.get(target).and_then(Target::summary);
            convert::said_of(&integration.key, status)
        })
    }

    fn measure(&self, key: &IntegrationKey, type_name: &str, summary: &Summary<'_>) {
        let metrics = &self.context.metrics;
        let labels = [key.namespace(), key.name(), type_name];
        for (state, count) in summary.counts.by_state() {
            let labels = [labels[0], labels[1], labels[2], state.as_str()];
            metrics.integration_targets.with_label_values(&labels).set(i64::from(count));
        }
        match summary.phase.is_healthy() {
            None => drop(metrics.integration_healthy.remove_label_values(&labels)),
            Some(is_healthy) => {
                metrics.integration_healthy.with_label_values(&labels).set(i64::from(is_healthy));
            }
        }
    }
}

impl Tool {
    fn count(&mut self, key: &TargetKey, target: Option<&Target>) {
        let desired = target.and_then(|target| target.desired.as_ref().ok());
        match desired.filter(|desired| self.desired.concerns(desired)) {
            None => self.tally.remove(key),
            Some(desired) => {
                let status = target.and_then(Target::summary);
                let (phase, ..) = convert::said_of(&self.desired.key, status);
                let unreachable = status.and_then(convert::unreachable_cause);
                self.tally.put(key, &desired.cluster_name, phase, unreachable);
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let gap = SUMMARY_GAP.max(GAP_OF_A_KIB * u32::try_from(self.bytes >> 10).unwrap_or(u32::MAX));
        self.changed.then(|| self.last.map_or_else(Instant::now, |last| last + gap))
    }
}

/// The Integrations of which two statuses of a target say something else, as far as [`convert::said_of`] reads it.
pub(super) fn changed_tools(
    target: &TargetKey,
    former: Option<&IntegrationTargetStatus>,
    status: &IntegrationTargetStatus,
) -> Vec<IntegrationKey> {
    let (former, now) = (said_of_tools(former), said_of_tools(Some(status)));
    former.symmetric_difference(&now).map(|[name, ..]| IntegrationKey::new(target.namespace(), *name)).collect()
}

/// Name, phase, reason and message of each.
fn said_of_tools(status: Option<&IntegrationTargetStatus>) -> BTreeSet<[&str; 4]> {
    let tools = status.map(|status| status.integrations.as_slice()).unwrap_or_default();
    tools
        .iter()
        .map(|tool| {
            let IntegrationResult { name, phase, reason, message, .. } = tool;
            [name.as_str(), phase, reason, message.as_deref().unwrap_or_default()]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cached_status::TargetObject;
    use super::super::test_kit::{fleet, key, report};
    use super::*;
    use crate::api::Integration;
    use crate::domain::verdict::ToolVerdict;
    use crate::hub::Change;

    fn tool(name: &str) -> IntegrationKey {
        IntegrationKey::new("fleet", name)
    }

    fn wants(name: &str, clusters: &[&str]) -> Change<Integration> {
        let object = json!({
            "apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
            "metadata": { "namespace": "fleet", "name": name },
            "spec": { "type": "argocd", "enabled": true, "targetClusters": clusters },
        });
        Change::Applied(serde_json::from_value(object).unwrap())
    }

    fn say(fleet: &mut Fleet, phases: [(&str, Phase); 2]) {
        let verdict = |phase| ToolVerdict::without_observations(phase, Reason::Healthy, phase.as_str());
        let tools = phases.map(|(name, phase)| (tool(name), verdict(phase))).into();
        fleet.on_report(report(tools));
    }

    fn due(fleet: &Fleet) -> Vec<&str> {
        fleet.integrations.iter().filter(|(_, tool)| tool.changed).map(|(key, _)| key.name()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_integration_is_summed_up_when_it_changes_and_less_often_the_longer_its_status() {
        let mut fleet = fleet();
        for name in ["argo", "flux"] {
            fleet.on_integration(wants(name, &["c1"]));
        }
        say(&mut fleet, [("argo", Phase::Running), ("flux", Phase::Running)]);
        while !due(&fleet).is_empty() {
            fleet.summarize_due();
        }
        say(&mut fleet, [("argo", Phase::Failed), ("flux", Phase::Running)]);
        assert_eq!(due(&fleet), ["argo"], "nothing else is said of flux");
        let wait = |fleet: &Fleet| fleet.next_due().unwrap() - Instant::now();
        assert_eq!(wait(&fleet), SUMMARY_GAP);
        tokio::time::advance(SUMMARY_GAP).await;
        let absent: Vec<String> = (0..200).map(|n| format!("a-cluster-that-no-target-has-{n}")).collect();
        fleet.on_integration(wants("argo", &absent.iter().map(String::as_str).collect::<Vec<_>>()));
        fleet.summarize_due();
        fleet.on_integration(wants("argo", &["c1"]));
        assert!(wait(&fleet) > SUMMARY_GAP * 3, "a hundred are named: {:?}", wait(&fleet));
    }

    /// A worker of another version says what this one has no name for.
    #[tokio::test]
    async fn unknown_names_of_a_report_are_written_as_they_are() {
        let mut fleet = fleet();
        fleet.on_integration(wants("argo", &["c1"]));
        let newer = Phase::read("Suspended").unwrap();
        let skew = Reason::read("VersionSkew").unwrap();
        let verdict = ToolVerdict::without_observations(newer, skew, "istiod is a version behind");
        fleet.on_report(report(vec![(tool("argo"), verdict)]));
        let status = fleet.targets[&key()].summary().unwrap();
        assert_eq!(status.phase.as_deref(), Some("Suspended"));
        let said = &status.integrations[0];
        assert_eq!((said.phase.as_str(), said.reason.as_str()), ("Suspended", "VersionSkew"));
        let summary = fleet.summary(&fleet.integrations[&tool("argo")]);
        assert_eq!((summary.phase, summary.counts.unknown, summary.counts.total), (Phase::Failed, 1, 1));
        let cluster = &summary.clusters[0];
        assert_eq!((cluster.phase, cluster.reason, &*cluster.message), (newer, skew, "istiod is a version behind"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_counts_the_targets_that_it_wants_now() {
        let mut fleet = fleet();
        fleet.on_integration(wants("argo", &["c1"]));
        let running = |fleet: &Fleet| fleet.summary(&fleet.integrations[&tool("argo")]).counts.running;
        assert_eq!(running(&fleet), 0, "nothing is said of it");
        say(&mut fleet, [("argo", Phase::Running), ("flux", Phase::Running)]);
        assert_eq!(running(&fleet), 1);
        fleet.on_integration(wants("argo", &["other"]));
        assert_eq!(running(&fleet), 0, "the Integration wants others");
        let renamed = json!({
            "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "namespace": "fleet", "name": "c1" }, "spec": { "clusterName": "other" },
            "status": fleet.targets[&key()].summary(),
        });
        fleet.on_target(TargetObject::of(Change::Applied(serde_json::from_value(renamed).unwrap())));
        assert_eq!(running(&fleet), 1, "the target is one of them now");
        fleet.on_target(Change::Deleted(("fleet".to_owned(), "c1".to_owned())));
        assert_eq!(running(&fleet), 0, "it is gone");
    }
}
