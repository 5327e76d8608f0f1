//! The worker role: runs one task per target that this replica owns.

mod assignment;
mod debounce;
mod panics;
mod pause;
mod process_time;
mod profiles;
mod renewal;
mod reporter;
mod round;
mod secrets;
mod series;
mod settings;
mod shard;
mod shortage;
mod target_task;
#[cfg(test)]
mod test_kit;
mod tokens;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{self, AbortHandle, JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::Instrument;

use crate::api::{ClusterProfile, IntegrationTarget, SLOT_LABEL, convert};
use crate::controllers::typed::TypedIntegration;
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::digest::Digest;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::priority::Priority;
use crate::domain::report::TargetReport;
use crate::domain::slot::{Slot, SlotSet};
use crate::domain::verdict::History;
use crate::hub::{Change, CoalescingQueue, FirstChecks, SecretMetadata};
use crate::observability::{Health, Metrics, as_gauge};
use crate::targets::ClusterManager;
use crate::targets::kubeconfig::Policy;

use debounce::Debounce;
use profiles::Profiles;
use secrets::SecretVersions;

pub(crate) use crate::domain::outbox::Overdue;
pub(crate) use assignment::{Assignment, QuerySets};
use process_time::since_start;
pub(crate) use reporter::{ReporterContext, report};
pub use settings::CheckBy;
pub(crate) use settings::WorkerSettings;
pub(crate) use shard::{Shard, follow_map};
pub(crate) use shortage::Shortage;
pub(crate) use tokens::{TokenMaker, Tokens};

/// Updates that the reporter has not dequeued yet: the newest of each target.
pub(crate) type Reports = CoalescingQueue<TargetKey, ReportUpdate>;

/// A change to report for a target.
#[derive(Debug)]
pub(crate) enum ReportUpdate {
    /// A new report, the digest of its meaning, and the time at which it is overdue.
    Changed { report: Box<TargetReport>, digest: Digest, overdue: Arc<Overdue> },
    /// This replica no longer owns the target.
    Removed,
}

/// Shared by all target tasks.
pub(crate) struct WorkerContext {
    pub hub: kube::Client,
    pub clusters: ClusterManager,
    pub policy: Policy,
    pub tokens: Tokens,
    pub secret_reads: Semaphore,
    pub first_checks: Arc<FirstChecks>,
    pub reports: Arc<Reports>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub shortage: Shortage,
    pub settings: WorkerSettings,
}

/// Concurrent Secret reads from the hub. Starting thousands of targets must not delay Lease renewals.
pub(crate) const SECRET_READS: usize = 8;

/// Interval at which the connection gauge is updated.
const GAUGE_INTERVAL: Duration = Duration::from_secs(2);

pub(crate) const NEED_SHARD: &str = "its part of the shard map";
pub(crate) const NEED_TARGETS: &str = "the list of its IntegrationTargets";
pub(crate) const NEED_INTEGRATIONS: &str = "the list of Integrations";

/// Watches the targets that match a label selector; all without one.
pub(crate) type WatchTargets = Box<dyn Fn(Option<&str>) -> BoxStream<'static, Change<IntegrationTarget>> + Send + Sync>;

/// Follows the shard, its targets and all integrations on the hub, and runs a task per target. Returns only if a watch
/// ends. A change from `secrets` makes tasks read their credentials again; the stream may stay silent.
pub(crate) async fn run(
    context: Arc<WorkerContext>,
    mut shard: watch::Receiver<Shard>,
    watch_targets: WatchTargets,
    mut integrations: BoxStream<'static, Change<TypedIntegration>>,
    mut secrets: BoxStream<'static, Change<SecretMetadata>>,
    mut profiles: BoxStream<'static, Change<ClusterProfile>>,
) {
    let mut worker = Worker::new(context);
    let mut targets = stream::pending().boxed();
    let mut ticks = interval(GAUGE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    shard.mark_changed();
    loop {
        let due = worker.debounce.due();
        tokio::select! {
            changed = shard.changed() => {
                let now = shard.borrow_and_update().clone();
                if changed.is_err() {
                    return;
                }
                if worker.set_shard(now) {
                    targets = worker.targets_to_watch(&watch_targets);
                }
            },
            change = targets.next() => match change {
                Some(change) => worker.on_target(change),
                None => return,
            },
            change = integrations.next() => match change {
                Some(change) => worker.on_integration(change),
                None => return,
            },
            change = secrets.next() => match change {
                Some(change) => worker.on_secret(change),
                None => return,
            },
            change = profiles.next() => match change {
                Some(change) => worker.on_profile(change),
                None => return,
            },
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => worker.assign_all(),
            Some(ended) = worker.tasks.join_next_with_id() => worker.on_task_end(&ended),
            _ = ticks.tick() => worker.update_gauges(),
        }
    }
}

struct Worker {
    context: Arc<WorkerContext>,
    targets: BTreeMap<TargetKey, OwnedTarget>,
    integrations: BTreeMap<IntegrationKey, Arc<DesiredIntegration>>,
    secrets: SecretVersions,
    profiles: Profiles,
    tasks: JoinSet<()>,
    task_targets: HashMap<task::Id, TargetKey>,
    /// Targets whose task was aborted and has not ended yet.
    ending: BTreeSet<TargetKey>,
    query_sets: QuerySets,
    /// No task starts before the integrations are listed: its first round would check nothing.
    integrations_listed: bool,
    debounce: Debounce,
    slots: SlotSet,
}

struct OwnedTarget {
    desired: Arc<DesiredTarget>,
    /// Restored from the status.
    history: History,
    task: Option<(watch::Sender<Assignment>, AbortHandle)>,
}

impl Worker {
    fn new(context: Arc<WorkerContext>) -> Self {
        context.health.need(NEED_SHARD);
        context.health.need(NEED_TARGETS);
        context.health.need(NEED_INTEGRATIONS);
        let profiles = Profiles::new(context.settings.followed_profiles());
        Self {
            context,
            targets: BTreeMap::new(),
            integrations: BTreeMap::new(),
            secrets: SecretVersions::default(),
            profiles,
            tasks: JoinSet::new(),
            task_targets: HashMap::new(),
            ending: BTreeSet::new(),
            query_sets: QuerySets::new(),
            integrations_listed: false,
            debounce: Debounce::default(),
            slots: SlotSet::default(),
        }
    }

    fn update_gauges(&self) {
        self.context.metrics.connections.set(as_gauge(self.context.clusters.connections()));
    }

    /// Switches to `shard`. Returns whether its slots differ from the current ones.
    fn set_shard(&mut self, shard: Shard) -> bool {
        if shard.is_assigned() {
            self.context.health.has(NEED_SHARD);
            if shard.slots.is_empty() {
                self.context.health.has(NEED_TARGETS);
            }
        }
        let Shard { slots, .. } = shard;
        if slots == self.slots {
            return false;
        }
        let gained = slots.difference(&self.slots).len();
        let lost: Vec<TargetKey> = self.targets.keys().filter(|key| !slots.contains(Slot::of(key))).cloned().collect();
        tracing::info!(slots = slots.len(), gained, targets_lost = lost.len(), "the shard changed");
        self.slots = slots;
        lost.iter().for_each(|key| self.drop_target(key));
        true
    }

    fn targets_to_watch(&self, watch_targets: &WatchTargets) -> BoxStream<'static, Change<IntegrationTarget>> {
        if self.slots.is_empty() {
            return stream::pending().boxed();
        }
        if self.slots.is_all() {
            return watch_targets(None);
        }
        let slots: Vec<String> = self.slots.iter().map(|slot| slot.to_string()).collect();
        watch_targets(Some(&format!("{SLOT_LABEL} in ({})", slots.join(","))))
    }

    fn on_target(&mut self, change: Change<IntegrationTarget>) {
        match change {
            Change::Applied(object) => self.apply_target(&object),
            Change::Deleted(key) => self.drop_target(&key.into()),
            Change::Listed(keys) => {
                let is_gone = |key: &&TargetKey| !keys.contains(key.object());
                let gone: Vec<TargetKey> = self.targets.keys().filter(is_gone).cloned().collect();
                gone.iter().for_each(|key| self.drop_target(key));
                self.context.health.has(NEED_TARGETS);
            }
        }
    }

    fn apply_target(&mut self, object: &IntegrationTarget) {
        let desired = match convert::target(object) {
            Ok(desired) => Arc::new(desired),
            // The coordinator reports that on the object.
            Err(_) => return self.drop_target(&convert::object_key(object).into()),
        };
        let key = desired.key.clone();
        // A wrong slot label, or a watch of slots that were lost meanwhile.
        if !self.slots.contains(Slot::of(&key)) {
            return;
        }
        match self.targets.get_mut(&key) {
            // Only metadata or status changed.
            Some(owned) if owned.desired == desired => return,
            Some(owned) => owned.desired = desired,
            None => {
                let status = object.status.clone().map(convert::target_status).unwrap_or_default();
                let history = status.verdict_history(&key, self.context.settings.failure_threshold);
                self.targets.insert(key.clone(), OwnedTarget { desired, history, task: None });
            }
        }
        self.assign(&key);
    }

    fn drop_target(&mut self, key: &TargetKey) {
        match self.targets.remove(key) {
            // A task in the middle of a step may report once more.
            Some(OwnedTarget { task: Some((_, task)), .. }) => {
                task.abort();
                self.ending.insert(key.clone());
            }
            _ if self.ending.contains(key) => {}
            _ => self.forget(key),
        }
    }

    fn forget(&self, key: &TargetKey) {
        self.context.clusters.forget(key);
        self.context.reports.enqueue(key.clone(), ReportUpdate::Removed, Priority::CanWait);
    }

    fn on_integration(&mut self, change: Change<TypedIntegration>) {
        match change {
            Change::Applied(typed) => {
                let desired = Arc::new(typed.desired);
                let former = self.integrations.insert(desired.key.clone(), desired.clone());
                if former.as_ref() == Some(&desired) {
                    return;
                }
            }
            Change::Deleted(key) => {
                self.integrations.remove(&key.into());
            }
            Change::Listed(keys) => {
                self.integrations.retain(|key, _| keys.contains(key.object()));
                self.context.health.has(NEED_INTEGRATIONS);
                self.integrations_listed = true;
                self.debounce.trigger_now();
            }
        }
        self.query_sets.clear();
        self.debounce.trigger();
    }

    fn on_secret(&mut self, change: Change<SecretMetadata>) {
        let Some(secret) = self.secrets.apply(change) else { return self.assign_all() };
        let uses_it = |key: &TargetKey, owned: &OwnedTarget| {
            key.namespace() == secret.namespace() && owned.desired.secret_name == secret.name()
        };
        let affected = self.targets.iter().filter(|(key, owned)| uses_it(key, owned));
        let keys: Vec<TargetKey> = affected.map(|(key, _)| key.clone()).collect();
        keys.iter().for_each(|key| self.assign(key));
    }

    /// Waits for more changes before it assigns targets again: a list of thousands of profiles comes one by one.
    fn on_profile(&mut self, change: Change<ClusterProfile>) {
        self.profiles.apply(change);
        self.debounce.trigger();
    }

    fn assign_all(&mut self) {
        let started = Instant::now();
        let keys: Vec<TargetKey> = self.targets.keys().cloned().collect();
        keys.iter().for_each(|key| self.assign(key));
        self.debounce.finished(started.elapsed());
    }

    /// Sends the target's task its current assignment; starts the task if there is none.
    fn assign(&mut self, key: &TargetKey) {
        if !self.integrations_listed || self.ending.contains(key) {
            return;
        }
        let interval = self.context.settings.interval;
        let Some(owned) = self.targets.get_mut(key) else { return };
        let mut assignment =
            Assignment::new(owned.desired.clone(), self.integrations.values(), &mut self.query_sets, interval);
        assignment.secret_version = self.secrets.of(&owned.desired);
        assignment.profile = self.profiles.of(&owned.desired);
        match &owned.task {
            Some((sender, _)) => {
                sender.send_if_modified(|current| {
                    let changed = *current != assignment;
                    *current = assignment;
                    changed
                });
            }
            None => {
                let (sender, receiver) = watch::channel(assignment);
                // At debug level alone: ten thousand spans would take memory.
                let span = tracing::debug_span!("target", name = %key);
                let task = target_task::run(self.context.clone(), receiver, owned.history.clone()).instrument(span);
                let task = self.tasks.spawn(task);
                self.task_targets.insert(task.id(), key.clone());
                owned.task = Some((sender, task));
            }
        }
    }

    /// A task ends when its target is dropped. Any other end is a bug: log it and restart the task with the next
    /// change.
    fn on_task_end(&mut self, ended: &Result<(task::Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(key) = self.task_targets.remove(&id) else { return };
        if self.ending.remove(&key) {
            self.forget(&key);
            return self.assign(&key);
        }
        tracing::error!(target = %key, ?ended, "target task exited unexpectedly");
        if let Some(owned) = self.targets.get_mut(&key) {
            owned.task = None;
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
