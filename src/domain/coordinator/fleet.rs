//! Targets and Integrations, and the decisions on a change of a target.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Effect, Notice, TargetWrite};
use super::event::{CachedStatus, ForeignLease, LeaseUnread, ObjectEvent, TargetObject};
use super::integrations::Integration;
use super::notifiers::Notifier;
use super::other_installations::OtherInstallations;
use super::sessions::Sessions;
use super::target::Target;
use super::windows::Windows;
use super::{Metric, Now};
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::{IntegrationKey, NotifierKey, TargetKey};
use crate::domain::priority::Priority;
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::Term;
use crate::domain::report::TargetReport;
use crate::domain::slot::Slot;
use crate::domain::status::{TargetStatus, Writer, phase_changes, record, target_status};
use crate::domain::verdict::Reach;
use crate::domain::weights::Weights;

pub(super) struct Fleet {
    pub(super) now: Now,
    pub(super) effects: Vec<Effect>,
    pub(super) targets: BTreeMap<TargetKey, Target>,
    pub(super) integrations: BTreeMap<IntegrationKey, Integration>,
    pub(super) sessions: Sessions,
    pub(super) others: OtherInstallations,
    pub(super) windows: Windows,
    pub(super) notifiers: BTreeMap<NotifierKey, Notifier>,
    pub(super) term: Term,
    /// Start of the term.
    pub(super) began: Duration,
    /// This installation, as `managedBy` names it.
    installation: String,
    /// Interval of targets whose Integrations give none; also between heartbeats.
    pub(super) round: Duration,
    status_pruned: bool,
}

impl Fleet {
    pub(super) fn new(term: Term, installation: String, round: Duration, now: Now) -> Self {
        Self {
            now,
            effects: Vec::new(),
            targets: BTreeMap::new(),
            integrations: BTreeMap::new(),
            sessions: Sessions::default(),
            others: OtherInstallations::default(),
            windows: Windows::default(),
            notifiers: BTreeMap::new(),
            term,
            began: now.clock,
            installation,
            round,
            status_pruned: false,
        }
    }

    pub(super) fn on_target(&mut self, event: ObjectEvent<TargetKey, TargetObject>) {
        match event {
            ObjectEvent::Applied(object) => self.apply_target(*object),
            ObjectEvent::Deleted(key) => self.drop_target(&key),
            ObjectEvent::Listed(keys) => {
                let gone: Vec<TargetKey> = self.targets.keys().filter(|key| !keys.contains(key)).cloned().collect();
                gone.iter().for_each(|key| self.drop_target(key));
            }
        }
    }

    fn apply_target(&mut self, object: TargetObject) {
        let TargetObject { key, desired, generation, slot_label, mut status } = object;
        let former = self.targets.remove(&key);
        let is_new = former.is_none();
        let mut drifted = former.as_ref().is_some_and(|former| former.status != status);
        if let Some(former) = former.as_ref().filter(|former| drifted && former.is_written_as(status.as_ref())) {
            self.warn_status_pruned_once();
            (drifted, status) = (false, former.status.clone());
        }
        let changed = drifted || former.as_ref().is_none_or(|former| former.desired != desired);
        let term = status.as_ref().and_then(|cached| cached.status.term);
        let written_by_other_term = drifted && term != Some(self.term);
        let slot = Slot::of(&key);
        let is_labelled = slot_label.as_deref() == Some(slot.to_string().as_str());
        if !is_labelled {
            self.effects.push(Effect::LabelSlot(key.clone()));
        }
        let now = self.now.clock;
        // No replica observes a target whose spec can't be used.
        let counts_anew = former.as_ref().is_none_or(|former| former.desired.is_err());
        let (report, last_message, observed, mut stale_at, is_stale, labelled) = match former {
            Some(former) => {
                let Target { report, last_message, observed, stale_at, is_stale, labelled, .. } = former;
                (report.filter(|_| drifted), last_message, observed, stale_at, is_stale, labelled)
            }
            None => (None, None, None, now, false, None),
        };
        if counts_anew {
            stale_at = now + self.patience_of(self.interval_of(desired.as_ref().ok()), None);
        }
        let labelled = is_labelled.then(|| labelled.unwrap_or(now));
        let last_message = last_message.filter(|_| desired.is_ok());
        self.sessions.set_observable(&key, desired.is_ok(), last_message.is_some());
        self.targets.insert(
            key.clone(),
            Target {
                slot,
                desired,
                generation,
                interval: None,
                status,
                written_by_other_term,
                report,
                last_message,
                observed,
                stale_at,
                is_stale,
                labelled,
            },
        );
        if changed {
            self.count(&key);
            self.mark_namespace(key.namespace());
        }
        if is_new {
            self.sessions.add_target(&key);
            self.ask_owners([key.clone()]);
        }
        self.repair_status(&key, drifted);
    }

    /// Writes the target's status if it isn't as it should be. `drifted`: somebody else has written it.
    fn repair_status(&mut self, key: &TargetKey, drifted: bool) {
        let Some(Target { desired, report, is_stale, .. }) = self.targets.get(key) else { return };
        let broken = desired.as_ref().err().map(|error| Failure::new(Reason::InvalidObject, error.clone()));
        match (broken, report.clone()) {
            (Some(failure), _) => self.overrule(key, &Reach::Failed(failure)),
            (None, Some(report)) => self.publish_target(report),
            (None, None) if drifted && *is_stale => self.overrule(key, &Reach::Stale),
            // Only its owner knows the truth.
            (None, None) if drifted => self.ask_owners([key.clone()]),
            (None, None) => {}
        }
    }

    /// The API server prunes fields that it doesn't know: written again they would be pruned again, forever.
    fn warn_status_pruned_once(&mut self) {
        if !std::mem::replace(&mut self.status_pruned, true) {
            self.effects.push(Effect::Log(Notice::StatusPruned));
        }
    }

    fn drop_target(&mut self, key: &TargetKey) {
        if self.targets.remove(key).is_some() {
            self.sessions.remove_target(key);
            self.count(key);
            self.mark_namespace(key.namespace());
        }
    }

    pub(super) fn on_report(&mut self, report: TargetReport) {
        let key = report.target.clone();
        let patience = self.patience(&key, Some(report.next));
        let now = self.now.clock;
        let Some(target) = self.targets.get_mut(&key).filter(|target| target.desired.is_ok()) else { return };
        target.stale_at = now + patience;
        // A worker that has just begun has concluded nothing: the former status stands until it has.
        if report.verdict.reach == Reach::Initializing && target.status().is_some_and(|status| status.phase.is_some()) {
            return;
        }
        (target.report, target.is_stale) = (Some(report.clone()), false);
        self.publish_target(report);
    }

    /// Writes the target's status if it means something new.
    pub(super) fn publish_target(&mut self, report: TargetReport) {
        let key = &report.target;
        let managed_by = self.targets.get(key).and_then(|target| target.status()?.managed_by.clone());
        if self.is_left_alone(managed_by.as_deref()) {
            return;
        }
        let (writer, maintenance) = (self.writer(), self.maintenance_of(key));
        let Some(target) = self.targets.get_mut(key) else { return };
        let integrations = &self.integrations;
        let type_of = |key: &IntegrationKey| {
            integrations.get(key).map(|known| known.desired.type_name.clone()).unwrap_or_default()
        };
        let mut status = target_status(&report, type_of, target.status(), &writer);
        status.maintenance = maintenance;
        let digest = status.digest(key);
        let is_shown =
            |cached: &CachedStatus| cached.digest == digest && cached.status.maintenance == status.maintenance;
        let is_known = target.status.as_ref().is_some_and(is_shown);
        let by_other_term = std::mem::take(&mut target.written_by_other_term);
        if is_known && !by_other_term {
            target.report = None;
            return;
        }
        let former_meaning = target.status.as_ref().filter(|_| !by_other_term).map(CachedStatus::written_meaning);
        let former = target.status();
        let changes = phase_changes(former, &status);
        record(&mut status.history, &changes, writer.now);
        let is_phase_new = former.and_then(|former| former.phase) != status.phase;
        let priority = if is_phase_new { Priority::of(&report.verdict) } else { Priority::Detail };
        let changed = changed_tools(key, former, &status);
        let cached = CachedStatus { status: status.without_components(), digest };
        let (key, meaning) = (key.clone(), cached.written_meaning());
        target.status = Some(cached);
        let write = TargetWrite { key: key.clone(), status, changes, priority, meaning, former_meaning };
        self.effects.push(Effect::WriteTarget(Box::new(write)));
        if !changed.is_empty() {
            self.count(&key);
        }
        changed.iter().for_each(|key| self.mark(key));
    }

    /// The Lease of another installation was read. If it came or went, its objects are no longer ours, or are now.
    pub(super) fn on_other_installation(&mut self, name: &str, lease: Result<Option<ForeignLease>, LeaseUnread>) {
        let Some(is_gone) = self.others.judge(name, lease, self.now.clock) else { return };
        self.effects.push(Effect::Log(Notice::OtherInstallationChanged { name: name.to_owned(), is_gone }));
        let ours = self.installation.clone();
        let is_theirs = |managed_by: Option<&String>| managed_by.is_some_and(|name| *name != ours);
        for known in self.integrations.values_mut() {
            known.written_by_other_term |=
                is_theirs(known.status.as_ref().and_then(|status| status.managed_by.as_ref()));
        }
        let mut theirs = Vec::new();
        for (key, target) in &mut self.targets {
            if is_theirs(target.status().and_then(|status| status.managed_by.as_ref())) {
                target.written_by_other_term = true;
                theirs.push(key.clone());
            }
        }
        self.ask_owners(theirs);
        let all: Vec<IntegrationKey> = self.integrations.keys().cloned().collect();
        all.iter().for_each(|key| self.mark(key));
    }

    /// Whether the object belongs to another living installation.
    pub(super) fn is_left_alone(&mut self, managed_by: Option<&str>) -> bool {
        let Some(other) = managed_by.filter(|other| *other != self.installation) else { return false };
        if self.others.track(other) {
            self.effects.push(Effect::WatchInstallation(other.to_owned()));
        }
        self.others.is_alive(other)
    }

    pub(super) fn writer(&self) -> Writer {
        Writer { term: self.term, managed_by: self.installation.clone(), now: self.now.wall }
    }

    /// Targets of each slot.
    pub(super) fn weights(&self) -> Weights {
        Weights::of(self.targets.values().map(|target| target.slot))
    }

    pub(super) fn statuses(&self) -> impl Iterator<Item = (&TargetKey, &DesiredTarget, &TargetStatus)> {
        self.targets.iter().filter_map(|(key, target)| Some((key, target.desired.as_ref().ok()?, target.status()?)))
    }

    pub(super) fn measure(&mut self, metric: Metric) {
        self.effects.push(Effect::Metric(metric));
    }
}

/// The Integrations whose verdict on the target differs between two statuses.
fn changed_tools(target: &TargetKey, former: Option<&TargetStatus>, status: &TargetStatus) -> Vec<IntegrationKey> {
    let verdicts = |status: Option<&'_ TargetStatus>| {
        let tools = status.map(|status| status.tools.as_slice()).unwrap_or_default();
        let verdict = |tool: &super::super::status::ToolStatus| {
            (tool.name.clone(), (tool.phase, tool.reason, tool.message.clone(), tool.version.clone()))
        };
        tools.iter().map(verdict).collect::<BTreeMap<_, _>>()
    };
    let (former, now) = (verdicts(former), verdicts(Some(status)));
    let names: std::collections::BTreeSet<&String> = former.keys().chain(now.keys()).collect();
    let changed = names.into_iter().filter(|name| former.get(*name) != now.get(*name));
    changed.map(|name| IntegrationKey::new(target.namespace(), name.as_str())).collect()
}
