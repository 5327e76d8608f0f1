//! Integrations, summed up from the statuses of their targets.

use std::time::Duration;

use super::effect::{Effect, Gone, IntegrationWrite, Metric};
use super::fleet::Fleet;
use super::integrations::Integration;
use super::target::Target;
use crate::domain::aggregate::{Summary, VersionCount};
use crate::domain::keys::IntegrationKey;
use crate::domain::managed::ResourceSum;
use crate::domain::reason::Reason;
use crate::domain::status::{ClusterLine, IntegrationStatus, TargetStatus};
use crate::domain::verdict::Phase;

/// An Integration's status is written at most this often: a thousand clusters may change at once.
pub(super) const SUMMARY_GAP: Duration = Duration::from_secs(1);

/// Time between two writes of a status of which only the counts of managed objects have changed.
const RECOUNT: Duration = Duration::from_secs(60);

/// A long status is written less often, by this time for each KiB. A hundred clusters that fail are 26 KiB: several times
/// what one of their own statuses costs the hub, and every replica receives it.
const GAP_OF_A_KIB: Duration = Duration::from_millis(200);

impl Fleet {
    /// When the next summary is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.integrations.values().filter_map(|known| known.due(self.now.clock)).min()
    }

    /// Sums up one Integration that is due; the others wait for the events that came in meanwhile.
    pub(super) fn summarize_due(&mut self) {
        let now = self.now.clock;
        let is_due = |known: &Integration| known.due(now).is_some_and(|due| due <= now);
        if let Some(key) = self.integrations.iter().find(|(_, known)| is_due(known)).map(|(key, _)| key.clone()) {
            self.summarize(&key);
        }
    }

    fn summarize(&mut self, key: &IntegrationKey) {
        let managed_by = self.integrations.get(key).and_then(|known| known.status.as_ref()?.managed_by.clone());
        let is_left_alone = self.is_left_alone(managed_by.as_deref());
        let (writer, now) = (self.writer(), self.now.clock);
        let Some(known) = self.integrations.get(key) else { return };
        let summary = self.summary(known);
        let metric = Metric::Integration {
            key: key.clone(),
            type_name: known.desired.type_name.clone(),
            counts: summary.counts,
            gone: gone(known.status.as_ref(), &summary.versions, &summary.resources),
            versions: summary.versions.clone(),
            resources: summary.resources.clone(),
            is_healthy: summary.phase.is_healthy(),
        };
        let former = known.status.as_ref();
        let (mut write, mut counts_due) = (None, None);
        if !is_left_alone {
            let status = IntegrationStatus::of(&known.desired, &summary, former, &writer);
            let meaning = status.meaning();
            let former_meaning = former.filter(|_| !known.written_by_other_term).map(IntegrationStatus::meaning);
            let is_recounted = former.is_some_and(|former| former.resources != status.resources);
            let recount = known.counts_due.unwrap_or(now + RECOUNT);
            if former_meaning == Some(meaning) && is_recounted && now < recount {
                counts_due = Some(recount);
            } else if former_meaning != Some(meaning) || is_recounted {
                let change = status.phase_change(former);
                write = Some(IntegrationWrite { key: key.clone(), status, change, meaning, former_meaning });
            }
        }
        self.measure(metric);
        let Some(known) = self.integrations.get_mut(key) else { return };
        (known.changed, known.last, known.counts_due) = (false, Some(now), counts_due);
        if let Some(write) = write {
            (known.status, known.written_by_other_term) = (Some(write.status.clone()), false);
            known.bytes = size(&write.status);
            self.effects.push(Effect::WriteIntegration(Box::new(write)));
        }
    }

    pub(super) fn summary<'a>(&'a self, known: &'a Integration) -> Summary<'a> {
        let integration = &known.desired;
        if let Err(failure) = &integration.expected {
            return Summary::without_clusters(Phase::Failed, failure.reason, failure.message.clone());
        }
        if !integration.enabled {
            return Summary::without_clusters(Phase::Paused, Reason::Paused, "enabled is false");
        }
        known.tally.summarize(integration.max_unhealthy, |target| {
            let status = self.targets.get(target).and_then(Target::status);
            TargetStatus::tool(status, &integration.key)
        })
    }
}

/// The parts of a former status that are no longer there.
pub(super) fn gone(former: Option<&IntegrationStatus>, versions: &[VersionCount], resources: &[ResourceSum]) -> Gone {
    let former_versions = former.map(|former| former.versions.as_slice()).unwrap_or_default();
    let is_gone = |old: &&VersionCount| versions.iter().all(|new| new.version != old.version);
    let versions = former_versions.iter().filter(is_gone).map(|old| old.version.clone()).collect();
    let former_kinds = former.map(|former| former.resources.as_slice()).unwrap_or_default();
    let is_gone = |old: &&ResourceSum| resources.iter().all(|new| new.kind != old.kind);
    Gone { versions, kinds: former_kinds.iter().filter(is_gone).map(|old| old.kind.clone()).collect() }
}

impl Integration {
    fn due(&self, now: Duration) -> Option<Duration> {
        let gap = SUMMARY_GAP.max(GAP_OF_A_KIB * u32::try_from(self.bytes >> 10).unwrap_or(u32::MAX));
        let due = self.changed.then(|| self.last.map_or(now, |last| last + gap));
        due.into_iter().chain(self.counts_due).min()
    }
}

/// Bytes of the stored status, roughly: the texts of the clusters that it lists, and their field names.
fn size(status: &IntegrationStatus) -> usize {
    let bytes = |line: &ClusterLine| {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        100 + line.name.len() + text(&line.target) + text(&line.message)
    };
    1_024 + status.clusters.iter().map(bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::super::ObjectEvent;
    use super::super::test_kit::{applied, fleet, integration, key, report, target};
    use super::*;
    use crate::domain::verdict::ToolVerdict;

    fn tool(name: &str) -> IntegrationKey {
        IntegrationKey::new("fleet", name)
    }

    fn select(fleet: &mut Fleet, name: &str, clusters: &[String]) {
        fleet.on_integration(applied(integration(name, clusters)));
    }

    fn send_report(fleet: &mut Fleet, phases: [(&str, Phase); 2]) {
        let verdict = |phase: Phase| ToolVerdict::without_observations(phase, Reason::Healthy, phase.as_str());
        fleet.on_report(report(phases.map(|(name, phase)| (tool(name), verdict(phase))).into()));
    }

    fn marked(fleet: &Fleet) -> Vec<&str> {
        fleet.integrations.iter().filter(|(_, known)| known.changed).map(|(key, _)| key.name()).collect()
    }

    #[test]
    fn longer_status_is_written_less_often() {
        let mut fleet = fleet();
        let one = ["c1".to_owned()];
        ["argo", "flux"].iter().for_each(|name| select(&mut fleet, name, &one));
        send_report(&mut fleet, [("argo", Phase::Running), ("flux", Phase::Running)]);
        fleet.summarize_all();
        send_report(&mut fleet, [("argo", Phase::Failed), ("flux", Phase::Running)]);
        assert_eq!(marked(&fleet), ["argo"], "flux is unchanged");
        fleet.integrations.get_mut(&tool("argo")).unwrap().last = Some(fleet.now.clock);
        let wait = |fleet: &Fleet| fleet.next_due().unwrap() - fleet.now.clock;
        assert_eq!(wait(&fleet), SUMMARY_GAP);
        fleet.advance(SUMMARY_GAP);
        let absent: Vec<String> = (0..200).map(|n| format!("a-cluster-that-no-target-has-{n}")).collect();
        select(&mut fleet, "argo", &absent);
        fleet.summarize_due();
        select(&mut fleet, "argo", &one);
        assert!(wait(&fleet) > SUMMARY_GAP * 3, "it lists a hundred clusters: {:?}", wait(&fleet));
    }

    /// A worker of another version sends names that this version doesn't know.
    #[test]
    fn unknown_names_of_a_report_are_written_unchanged() {
        let mut fleet = fleet();
        select(&mut fleet, "argo", &["c1".to_owned()]);
        let newer = Phase::read("Suspended").unwrap();
        let skew = Reason::read("VersionSkew").unwrap();
        let verdict = ToolVerdict::without_observations(newer, skew, "istiod is a version behind");
        fleet.on_report(report(vec![(tool("argo"), verdict)]));
        let status = fleet.targets[&key()].status().unwrap();
        assert_eq!(status.phase, Some(newer));
        assert_eq!((status.tools[0].phase, status.tools[0].reason), (Some(newer), Some(skew)));
        let summary = fleet.summary(&fleet.integrations[&tool("argo")]);
        assert_eq!((summary.phase, summary.counts.unknown, summary.counts.total), (Phase::Failed, 1, 1));
        let cluster = &summary.clusters[0];
        assert_eq!((cluster.phase, cluster.reason, &*cluster.message), (newer, skew, "istiod is a version behind"));
    }

    #[test]
    fn targets_are_counted_as_they_match_now() {
        let mut fleet = fleet();
        select(&mut fleet, "argo", &["c1".to_owned()]);
        let running = |fleet: &Fleet| fleet.summary(&fleet.integrations[&tool("argo")]).counts.running;
        assert_eq!(running(&fleet), 0, "without a report");
        send_report(&mut fleet, [("argo", Phase::Running), ("flux", Phase::Running)]);
        assert_eq!(running(&fleet), 1);
        select(&mut fleet, "argo", &["other".to_owned()]);
        assert_eq!(running(&fleet), 0, "the Integration selects others");
        let mut renamed = target("c1", fleet.targets[&key()].status().cloned());
        renamed.desired.as_mut().unwrap().cluster_name = "other".into();
        fleet.on_target(applied(renamed));
        assert_eq!(running(&fleet), 1, "the target is one of them now");
        fleet.on_target(ObjectEvent::Deleted(key()));
        assert_eq!(running(&fleet), 0, "the target is gone");
    }
}
