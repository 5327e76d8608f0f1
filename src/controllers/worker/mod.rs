//! The worker role: keeps one task for each target that this replica looks after.

mod assignment;
mod budget;
mod round;
mod target_task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use crate::api::{Integration, IntegrationTarget, convert};
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::replica::ReplicaName;
use crate::domain::report::TargetReport;
use crate::hub::{Change, Mailbox};
use crate::observability::{Health, Metrics};
use crate::targets::ClusterManager;
use crate::targets::kubeconfig::Policy;

pub use assignment::Assignment;
pub use budget::Budget;

/// Reports that the coordinator has not read yet: the newest of each target.
pub type Reports = Mailbox<TargetKey, TargetReport>;

/// What every round needs.
pub struct WorkerContext {
    pub hub: kube::Client,
    pub clusters: ClusterManager,
    pub policy: Policy,
    pub budget: Budget,
    pub reports: Arc<Reports>,
    pub health: Arc<Health>,
    pub metrics: Metrics,
    pub settings: WorkerSettings,
}

#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// This replica's name.
    pub replica: ReplicaName,
    /// For Integrations that give none.
    pub interval: Duration,
    pub failure_threshold: u32,
}

pub const NEED_TARGETS: &str = "the worker's list of IntegrationTargets";
pub const NEED_INTEGRATIONS: &str = "the worker's list of Integrations";

/// Follows targets and integrations on the hub and keeps a task for each target. Ends only if a watch does.
pub async fn run(
    context: Arc<WorkerContext>,
    mut targets: BoxStream<'static, Change<IntegrationTarget>>,
    mut integrations: BoxStream<'static, Change<Integration>>,
) {
    context.health.need(NEED_TARGETS);
    context.health.need(NEED_INTEGRATIONS);
    let mut worker = Worker {
        context,
        targets: BTreeMap::new(),
        integrations: BTreeMap::new(),
        tasks: JoinSet::new(),
        listed: (false, false),
    };
    loop {
        tokio::select! {
            change = targets.next() => match change {
                Some(change) => worker.on_target(change),
                None => return,
            },
            change = integrations.next() => match change {
                Some(change) => worker.on_integration(change),
                None => return,
            },
            Some(ended) = worker.tasks.join_next() => worker.on_task_end(&ended),
        }
    }
}

struct Worker {
    context: Arc<WorkerContext>,
    targets: BTreeMap<TargetKey, Owned>,
    integrations: BTreeMap<IntegrationKey, Arc<DesiredIntegration>>,
    tasks: JoinSet<()>,
    /// Targets, integrations: before both have been listed no task starts, or the first round of each would look at
    /// nothing.
    listed: (bool, bool),
}

struct Owned {
    desired: Arc<DesiredTarget>,
    task: Option<(watch::Sender<Assignment>, AbortHandle)>,
}

impl Worker {
    fn on_target(&mut self, change: Change<IntegrationTarget>) {
        match change {
            Change::Applied(object) => self.apply_target(&object),
            Change::Deleted((namespace, name)) => self.drop_target(&TargetKey::new(namespace, name)),
            Change::Listed(keys) => {
                let gone: Vec<TargetKey> = self
                    .targets
                    .keys()
                    .filter(|key| !keys.contains(&(key.namespace().to_owned(), key.name().to_owned())))
                    .cloned()
                    .collect();
                gone.iter().for_each(|key| self.drop_target(key));
                self.context.health.has(NEED_TARGETS);
                self.listed.0 = true;
                self.assign_all();
            }
        }
    }

    fn apply_target(&mut self, object: &IntegrationTarget) {
        let desired = match convert::target(object) {
            Ok(desired) => Arc::new(desired),
            // The coordinator says so on the object.
            Err(_) => {
                let metadata = &object.metadata;
                let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
                return self.drop_target(&TargetKey::new(namespace.unwrap_or_default(), name.unwrap_or_default()));
            }
        };
        let key = desired.key.clone();
        match self.targets.get_mut(&key) {
            // Its own status changed, nothing that a round would do otherwise.
            Some(owned) if owned.desired == desired => return,
            Some(owned) => owned.desired = desired,
            None => {
                self.targets.insert(key.clone(), Owned { desired, task: None });
            }
        }
        self.assign(&key);
    }

    fn drop_target(&mut self, key: &TargetKey) {
        if let Some(Owned { task: Some((_, task)), .. }) = self.targets.remove(key) {
            task.abort();
        }
        self.context.clusters.forget(key);
    }

    fn on_integration(&mut self, change: Change<Integration>) {
        match change {
            Change::Applied(object) => {
                let desired = Arc::new(convert::integration(&object));
                let former = self.integrations.insert(desired.key.clone(), desired.clone());
                if former.as_ref() == Some(&desired) {
                    return;
                }
            }
            Change::Deleted((namespace, name)) => {
                self.integrations.remove(&IntegrationKey::new(namespace, name));
            }
            Change::Listed(keys) => {
                self.integrations.retain(|key, _| keys.contains(&(key.namespace().to_owned(), key.name().to_owned())));
                self.context.health.has(NEED_INTEGRATIONS);
                self.listed.1 = true;
            }
        }
        self.assign_all();
    }

    fn assign_all(&mut self) {
        let keys: Vec<TargetKey> = self.targets.keys().cloned().collect();
        keys.iter().for_each(|key| self.assign(key));
    }

    /// Tells the target's task what concerns it now; starts the task if there is none.
    fn assign(&mut self, key: &TargetKey) {
        if self.listed != (true, true) {
            return;
        }
        let Some(owned) = self.targets.get_mut(key) else { return };
        let assignment =
            Assignment::new(owned.desired.clone(), self.integrations.values(), self.context.settings.interval);
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
                let task = self.tasks.spawn(target_task::run(self.context.clone(), receiver));
                owned.task = Some((sender, task));
            }
        }
    }

    /// A task ends when it is aborted. A panic outside of a round is a bug: it is said, and the target starts anew
    /// with the next change of its spec.
    fn on_task_end(&mut self, ended: &Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && error.is_panic()
        {
            self.context.metrics.round_panics.inc();
            tracing::error!("the task of a target ended in a panic; starting it anew");
            for owned in self.targets.values_mut() {
                if owned.task.as_ref().is_some_and(|(_, task)| task.is_finished()) {
                    owned.task = None;
                }
            }
            self.assign_all();
        }
    }
}
