//! What the coordinator knows of the fleet, and what it makes of a change on the hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::Instant;

use super::cached_status::{CachedStatus, TargetObject};
use super::publish::target_write;
use super::summaries::changed_tools;
use super::worker_sessions::Desk;
use super::{FleetContext, RepairTask};
use crate::api::convert::{self, SpecError, Writer};
use crate::api::{
    Integration, IntegrationStatus, IntegrationTarget, IntegrationTargetStatus, LEGACY_FINALIZER, SLOT_LABEL,
};
use crate::domain::aggregate::{ClusterState, Tally};
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::Incarnation;
use crate::domain::report::TargetReport;
use crate::domain::slot::Slot;
use crate::domain::verdict::Reach;
use crate::hub::Change;

pub(super) struct Fleet {
    pub(super) context: FleetContext,
    pub(super) targets: BTreeMap<TargetKey, Target>,
    pub(super) integrations: BTreeMap<IntegrationKey, Tool>,
    /// Who reported what, and who may.
    pub(super) desk: Desk,
    /// The hub keeps less of a status than is written; that was said.
    cuts: bool,
    /// Series of healthy clusters are left out.
    pub(super) is_limited: bool,
}

pub(super) struct Target {
    pub(super) slot: Slot,
    /// Its metadata: the rest stands beside.
    pub(super) object: Box<IntegrationTarget>,
    pub(super) desired: Result<DesiredTarget, SpecError>,
    /// How often it is checked; `None` until that is asked after a change of an Integration.
    pub(super) interval: Option<Duration>,
    /// What stands on the hub, or is on its way there.
    pub(super) status: Option<CachedStatus>,
    /// A coordinator of another term has written it in this reign: it is written anew, whatever it says.
    foreign: bool,
    /// The newest, until the hub says so.
    pub(super) report: Option<TargetReport>,
    /// The last message about it in this reign.
    pub(super) told: Option<Told>,
    /// When it was looked at last, as its owner said.
    pub(super) observed: Option<Instant>,
    /// When that is too long ago.
    pub(super) stale_at: Instant,
    /// Its status shows it as stale.
    pub(super) stale: bool,
    /// Since when it has the label by which its owner sees it.
    pub(super) labelled: Option<Instant>,
}

pub(super) struct Told {
    pub(super) by: Arc<Incarnation>,
    /// That of the [`Digest`](crate::domain::digest::Digest); none from a worker of an earlier version.
    pub(super) meaning: Option<u128>,
    pub(super) at: Instant,
}

impl Target {
    /// Its status without components.
    pub(super) fn summary(&self) -> Option<&IntegrationTargetStatus> {
        self.status.as_ref().map(|status| &status.summary)
    }

    /// Whether that is the status which is on its way to the hub, whatever the hub has kept of it.
    fn is_written_as(&self, stored: Option<&CachedStatus>) -> bool {
        let time = |status: &CachedStatus| status.summary.last_sync_time.clone();
        let written = self.report.as_ref().and(self.status.as_ref()).and_then(time);
        written.is_some() && written == stored.and_then(time)
    }
}

pub(super) struct Tool {
    /// Its metadata: the rest stands beside.
    pub(super) object: Box<Integration>,
    /// Without components, which only workers look at.
    pub(super) desired: DesiredIntegration,
    pub(super) status: Option<IntegrationStatus>,
    /// As of a target.
    pub(super) foreign: bool,
    /// Of the targets that it wants.
    pub(super) tally: Tally,
    /// Something changed since it was summed up.
    pub(super) changed: bool,
    /// When it was summed up last.
    pub(super) last: Option<Instant>,
    /// Of what was written last.
    pub(super) bytes: usize,
}

impl Fleet {
    pub(super) fn new(context: FleetContext) -> Self {
        Self {
            context,
            targets: BTreeMap::new(),
            integrations: BTreeMap::new(),
            desk: Desk::default(),
            cuts: false,
            is_limited: false,
        }
    }

    pub(super) fn on_target(&mut self, change: Change<TargetObject>) {
        match change {
            Change::Applied(sighting) => self.apply_target(*sighting),
            Change::Deleted((namespace, name)) => self.drop_target(&TargetKey::new(namespace, name)),
            Change::Listed(keys) => {
                let is_gone = |key: &&TargetKey| !keys.contains(&(key.namespace().to_owned(), key.name().to_owned()));
                let gone: Vec<TargetKey> = self.targets.keys().filter(is_gone).cloned().collect();
                gone.iter().for_each(|key| self.drop_target(key));
                self.weigh();
            }
        }
    }

    fn apply_target(&mut self, TargetObject { key, mut object, mut status }: TargetObject) {
        let desired = convert::target(&object);
        let former = self.targets.remove(&key);
        let is_new = former.is_none();
        let mut spoilt = former.as_ref().is_some_and(|former| former.status != status);
        if let Some(former) = former.as_ref().filter(|former| spoilt && former.is_written_as(status.as_ref())) {
            self.say_that_the_hub_cuts();
            (spoilt, status) = (false, former.status.clone());
        }
        let changed = spoilt || former.as_ref().is_none_or(|former| former.desired != desired);
        let term = status.as_ref().and_then(|status| status.summary.coordinator_term);
        let foreign = spoilt && self.is_foreign(term);
        let is_labelled = self.sees_label(&object, Slot::of(&key));
        let now = Instant::now();
        // Nobody looks at one that can't be used.
        let counts_anew = former.as_ref().is_none_or(|former| former.desired.is_err());
        let (report, told, observed, mut stale_at, stale, labelled) = match former {
            Some(former) => {
                let Target { report, told, observed, stale_at, stale, labelled, .. } = former;
                (report.filter(|_| spoilt), told, observed, stale_at, stale, labelled)
            }
            None => (None, None, None, now, false, None),
        };
        if counts_anew {
            stale_at = now + self.patience_of(self.interval_of(desired.as_ref().ok()), None);
        }
        let labelled = is_labelled.then(|| labelled.unwrap_or(now));
        let told = told.filter(|_| desired.is_ok());
        if desired.is_err() {
            self.desk.unobserved.remove(&key);
        } else if told.is_none() {
            self.desk.unobserved.insert(key.clone());
        }
        (object.spec, object.metadata.labels) = Default::default();
        self.targets.insert(
            key.clone(),
            Target {
                slot: Slot::of(&key),
                object,
                desired,
                interval: None,
                status,
                foreign,
                report: report.clone(),
                told,
                observed,
                stale_at,
                stale,
                labelled,
            },
        );
        if changed {
            self.count(&key);
            self.mark_namespace(key.namespace());
        }
        if is_new {
            self.desk.name(&key);
            self.ask_owners([key.clone()]);
        }
        self.answer(&key, report, spoilt);
    }

    /// Writes the target's status if that isn't what it should be. `spoilt`: somebody else has written it.
    fn answer(&mut self, key: &TargetKey, report: Option<TargetReport>, spoilt: bool) {
        let Some(Target { desired, stale, .. }) = self.targets.get(key) else { return };
        let broken = desired.as_ref().err().map(|error| Failure::new(Reason::InvalidObject, error.to_string()));
        match (broken, report) {
            (Some(failure), _) => self.overrule(key, &Reach::Failed(failure)),
            (None, Some(report)) => self.publish_target(report),
            (None, None) if spoilt && *stale => self.overrule(key, &Reach::Stale),
            // Only its owner knows what is true.
            (None, None) if spoilt => self.ask_owners([key.clone()]),
            (None, None) => {}
        }
    }

    /// Whether the target has the right label; it is to have it otherwise.
    fn sees_label(&self, object: &IntegrationTarget, slot: Slot) -> bool {
        let is_labelled = object.labels().get(SLOT_LABEL).map(String::as_str) == Some(slot.to_string().as_str());
        if !is_labelled {
            self.context.repairs.offer(RepairTask::LabelSlot(Box::new(object.clone())));
        }
        is_labelled
    }

    /// Written again it would be cut again, without end.
    fn say_that_the_hub_cuts(&mut self) {
        if !std::mem::replace(&mut self.cuts, true) {
            tracing::warn!("the hub keeps less of a status than is written: apply the CRDs of this version of ksit");
        }
    }

    fn drop_target(&mut self, key: &TargetKey) {
        if self.targets.remove(key).is_some() {
            self.desk.forget(key);
            self.count(key);
            self.mark_namespace(key.namespace());
        }
    }

    pub(super) fn on_integration(&mut self, change: Change<Integration>) {
        match change {
            Change::Applied(mut object) => {
                if object.metadata.finalizers.iter().flatten().any(|name| name == LEGACY_FINALIZER) {
                    self.context.repairs.offer(RepairTask::RemoveFinalizer(object.clone()));
                }
                let mut desired = convert::integration(&object);
                desired.components = desired.components.map(|_| Vec::new());
                let key = desired.key.clone();
                let status = object.status.take();
                (object.spec, object.metadata.labels) = Default::default();
                let former = self.integrations.remove(&key);
                let spoilt = former.as_ref().is_some_and(|former| former.status != status);
                let foreign = spoilt && self.is_foreign(status.as_ref().and_then(|status| status.coordinator_term));
                let wants_others = former.as_ref().is_none_or(|former| former.desired != desired);
                let (tally, last, bytes) =
                    former.map(|former| (former.tally, former.last, former.bytes)).unwrap_or_default();
                let tool = Tool { object, desired, status, foreign, tally, changed: false, last, bytes };
                self.integrations.insert(key.clone(), tool);
                if wants_others {
                    self.count_anew(&key);
                    self.forget_intervals(key.namespace());
                }
                self.mark(&key);
            }
            Change::Deleted((namespace, name)) => self.drop_integration(&IntegrationKey::new(namespace, name)),
            Change::Listed(keys) => {
                let is_gone =
                    |key: &&IntegrationKey| !keys.contains(&(key.namespace().to_owned(), key.name().to_owned()));
                let gone: Vec<IntegrationKey> = self.integrations.keys().filter(is_gone).cloned().collect();
                gone.iter().for_each(|key| self.drop_integration(key));
            }
        }
    }

    fn drop_integration(&mut self, key: &IntegrationKey) {
        if let Some(tool) = self.integrations.remove(key) {
            self.forget_intervals(key.namespace());
            let labels = [key.namespace(), key.name(), tool.desired.type_name.as_str()];
            let metrics = &self.context.metrics;
            let _ = metrics.integration_healthy.remove_label_values(&labels);
            for state in ClusterState::ALL {
                let labels = [labels[0], labels[1], labels[2], state.as_str()];
                let _ = metrics.integration_targets.remove_label_values(&labels);
            }
        }
    }

    pub(super) fn on_report(&mut self, report: TargetReport) {
        let key = report.target.clone();
        let patience = self.patience(&key, Some(report.next));
        let Some(target) = self.targets.get_mut(&key) else { return };
        if target.desired.is_err() {
            return;
        }
        target.stale_at = Instant::now() + patience;
        // A worker that has just begun has concluded nothing: what was said before stands until it has.
        if report.verdict.reach == Reach::Initializing && target.summary().is_some_and(|s| s.phase.is_some()) {
            return;
        }
        (target.report, target.stale) = (Some(report.clone()), false);
        self.publish_target(report);
    }

    /// Queues the target's status if it means something new.
    pub(super) fn publish_target(&mut self, report: TargetReport) {
        let (key, writer) = (&report.target, self.writer());
        let managed_by = self.targets.get(key).and_then(|target| target.summary()?.managed_by.as_deref());
        if self.is_left_alone(managed_by) {
            return;
        }
        let Some(target) = self.targets.get_mut(key) else { return };
        let integrations = &self.integrations;
        let type_of =
            |key: &IntegrationKey| integrations.get(key).map(|tool| tool.desired.type_name.clone()).unwrap_or_default();
        let mut status = convert::target_status(&report, type_of, target.summary(), &writer);
        let meaning = convert::stored_digest(key, &status);
        let is_known = target.status.as_ref().is_some_and(|known| known.meaning == meaning);
        let is_foreign = std::mem::take(&mut target.foreign);
        if is_known && !is_foreign {
            target.report = None;
            return;
        }
        let former = target.status.as_ref().filter(|_| !is_foreign).map(|known| known.meaning.meaning);
        let changes = convert::phase_changes(target.summary(), &status);
        convert::record(&mut status.history, &changes, writer.now);
        let write = target_write(
            &target.object,
            target.summary(),
            &status,
            changes,
            (former, meaning.meaning),
            &report.verdict,
        );
        let changed = changed_tools(key, target.summary(), &status);
        target.status = Some(CachedStatus::new(status, meaning));
        match write {
            Ok((id, write)) => self.context.statuses.enqueue(id, write),
            Err(error) => tracing::error!(%error, target = %key, "a status can't be made into JSON"),
        }
        if !changed.is_empty() {
            self.count(key);
        }
        changed.iter().for_each(|key| self.mark(key));
    }

    /// Another installation came or went: what it wrote is ours to write, or isn't any more.
    pub(super) fn on_other_installations(&mut self) {
        let ours = self.context.installation.clone();
        let is_theirs = |managed_by: Option<&String>| managed_by.is_some_and(|name| *name != ours);
        for tool in self.integrations.values_mut() {
            tool.foreign |= is_theirs(tool.status.as_ref().and_then(|status| status.managed_by.as_ref()));
        }
        let mut theirs = Vec::new();
        for (key, target) in &mut self.targets {
            let Some(CachedStatus { summary, .. }) = &target.status else { continue };
            if is_theirs(summary.managed_by.as_ref()) {
                target.foreign = true;
                theirs.push(key.clone());
            }
        }
        self.ask_owners(theirs);
        let tools: Vec<IntegrationKey> = self.integrations.keys().cloned().collect();
        tools.iter().for_each(|key| self.mark(key));
    }

    /// Whether the object is another living installation's.
    pub(super) fn is_left_alone(&self, managed_by: Option<&str>) -> bool {
        managed_by
            .is_some_and(|other| other != self.context.installation && self.context.other_installations.lives(other))
    }

    fn is_foreign(&self, term: Option<i64>) -> bool {
        term != Some(self.context.term.0)
    }

    pub(super) fn writer(&self) -> Writer {
        Writer { term: self.context.term.0, managed_by: self.context.installation.clone(), now: Timestamp::now() }
    }
}
