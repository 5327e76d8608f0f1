//! Integrations, and the decisions on a change of one.

use std::time::Duration;

use super::effect::{Effect, Metric};
use super::event::{IntegrationObject, ObjectEvent};
use super::fleet::Fleet;
use super::summaries::gone;
use super::target::Target;
use crate::domain::aggregate::{OnTarget, Tally};
use crate::domain::desired::DesiredIntegration;
use crate::domain::expected::Expected;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::status::{IntegrationStatus, TargetStatus};

pub(super) struct Integration {
    /// Without components, which only workers check.
    pub(super) desired: DesiredIntegration,
    pub(super) status: Option<IntegrationStatus>,
    /// A coordinator of another term wrote the status during this term: it is overwritten whatever it says.
    pub(super) written_by_other_term: bool,
    /// Matching targets by state.
    pub(super) tally: Tally,
    /// Something changed since the last summary.
    pub(super) changed: bool,
    /// Time of the last summary.
    pub(super) last: Option<Duration>,
    /// Size of the last status that was written.
    pub(super) bytes: usize,
    /// Time of a write for nothing but counts of managed objects.
    pub(super) counts_due: Option<Duration>,
}

impl Fleet {
    pub(super) fn on_integration(&mut self, event: ObjectEvent<IntegrationKey, IntegrationObject>) {
        match event {
            ObjectEvent::Applied(object) => self.apply_integration(*object),
            ObjectEvent::Deleted(key) => self.drop_integration(&key),
            ObjectEvent::Listed(keys) => {
                let gone: Vec<IntegrationKey> =
                    self.integrations.keys().filter(|key| !keys.contains(key)).cloned().collect();
                gone.iter().for_each(|key| self.drop_integration(key));
            }
        }
    }

    fn apply_integration(&mut self, object: IntegrationObject) {
        let IntegrationObject { mut desired, has_legacy_finalizer, status } = object;
        desired.expected = desired.expected.map(|_| Expected::default());
        let key = desired.key.clone();
        if has_legacy_finalizer {
            self.effects.push(Effect::RemoveFinalizer(key.clone()));
        }
        let former = self.integrations.remove(&key);
        let drifted = former.as_ref().is_some_and(|former| former.status != status);
        let written_by_other_term = drifted && status.as_ref().and_then(|status| status.term) != Some(self.term);
        let selects_others = former.as_ref().is_none_or(|former| former.desired != desired);
        let (tally, last, bytes) = former.map(|former| (former.tally, former.last, former.bytes)).unwrap_or_default();
        let integration = Integration {
            desired,
            status,
            written_by_other_term,
            tally,
            changed: false,
            last,
            bytes,
            counts_due: None,
        };
        self.integrations.insert(key.clone(), integration);
        if selects_others {
            self.count_anew(&key);
            self.forget_intervals(key.namespace());
        }
        self.mark(&key);
    }

    fn drop_integration(&mut self, key: &IntegrationKey) {
        if let Some(integration) = self.integrations.remove(key) {
            self.forget_intervals(key.namespace());
            let gone = gone(integration.status.as_ref(), &[], &[]);
            let type_name = integration.desired.type_name;
            self.measure(Metric::IntegrationGone { key: key.clone(), type_name, gone });
        }
    }

    /// Has every Integration that may match the target count it as it is now.
    pub(super) fn count(&mut self, key: &TargetKey) {
        let target = self.targets.get(key);
        let same_namespace = |known: &&mut Integration| known.desired.key.namespace() == key.namespace();
        self.integrations.values_mut().filter(same_namespace).for_each(|known| known.count(key, target));
    }

    /// Counts all targets for an Integration that selects others than before.
    fn count_anew(&mut self, key: &IntegrationKey) {
        let Some(integration) = self.integrations.get_mut(key) else { return };
        integration.tally = Tally::new(&integration.desired.selection);
        self.targets.iter().for_each(|(key, target)| integration.count(key, Some(target)));
    }

    pub(super) fn mark_namespace(&mut self, namespace: &str) {
        let same_namespace = self.integrations.iter_mut().filter(|(key, _)| key.namespace() == namespace);
        same_namespace.for_each(|(_, integration)| integration.changed = true);
    }

    /// Has the Integration summed up when it is due.
    pub(super) fn mark(&mut self, key: &IntegrationKey) {
        if let Some(integration) = self.integrations.get_mut(key) {
            integration.changed = true;
        }
    }
}

impl Integration {
    fn count(&mut self, key: &TargetKey, target: Option<&Target>) {
        let desired = target.and_then(|target| target.desired.as_ref().ok());
        match desired.filter(|desired| self.desired.concerns(desired)) {
            None => self.tally.remove(key),
            Some(desired) => {
                let status = target.and_then(Target::status);
                let (phase, ..) = TargetStatus::tool(status, &self.desired.key);
                let unreachable = status.and_then(TargetStatus::unreachable_cause);
                let tool = status.and_then(|status| status.listed_tool(&self.desired.key));
                let version = tool.and_then(|tool| tool.version.as_deref());
                let resources = tool.map(|tool| tool.resources.as_slice()).unwrap_or_default();
                let tool = OnTarget { phase, unreachable, version, resources };
                self.tally.put(key, &desired.cluster_name, tool);
            }
        }
    }
}
