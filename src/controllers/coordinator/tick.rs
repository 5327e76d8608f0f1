//! What is looked at every few seconds, though nothing came in: staleness, and the fleet's metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::fleet::Fleet;
use crate::api::{ReplicaLoad, convert};
use crate::domain::aggregate::{ClusterState, Counts};
use crate::domain::replica::ReplicaName;
use crate::domain::verdict::Phase;
use crate::observability::as_gauge;

impl Fleet {
    pub(super) fn on_tick(&mut self) {
        self.overrule_stale();
        self.ask_again();
        self.weigh();
        self.measure_targets();
        self.measure_freshness();
        let superseded = &self.context.metrics.status_queue_superseded;
        superseded.inc_by(self.context.statuses.superseded() - superseded.get());
        self.context.metrics.status_queue.set_count(self.context.statuses.pending());
        let unusable = self.integrations.values().filter(|tool| tool.desired.components.is_err()).count();
        self.context.metrics.invalid_objects.with_label_values(&["Integration"]).set(as_gauge(unusable));
    }

    fn measure_targets(&self) {
        let (mut counts, mut expiring, mut unusable) = (Counts::default(), 0_usize, 0_usize);
        for target in self.targets.values() {
            let phase = target.status.as_ref().and_then(|status| status.phase).unwrap_or(Phase::Initializing);
            // An unusable spec is no cluster that can't be reached.
            let cause = target.summary().filter(|_| target.desired.is_ok()).and_then(convert::unreachable_cause);
            counts.add(ClusterState::of(phase, cause.is_some()));
            expiring += usize::from(target.status.as_ref().is_some_and(|status| status.is_expiring));
            unusable += usize::from(target.desired.is_err());
        }
        let metrics = &self.context.metrics;
        for (state, count) in counts.by_state() {
            metrics.targets.with_label_values(&[state.as_str()]).set(i64::from(count));
        }
        metrics.targets_credential_expiring.set_count(expiring);
        metrics.invalid_objects.with_label_values(&["IntegrationTarget"]).set(as_gauge(unusable));
    }

    /// Load and freshness of each replica.
    fn measure_freshness(&self) {
        let mut loads: BTreeMap<&ReplicaName, (u32, Duration)> = BTreeMap::new();
        for name in self.desk.workers.keys() {
            loads.insert(name, Default::default());
        }
        let now = Instant::now();
        let mut oldest = Duration::ZERO;
        for target in self.targets.values().filter(|target| target.desired.is_ok()) {
            let since = target.observed.unwrap_or(self.context.began);
            let age = now - since;
            oldest = oldest.max(age);
            if let Some(owner) = self.desk.ownership.owner(target.slot) {
                let load = loads.entry(&owner.name).or_default();
                *load = (load.0 + 1, load.1.max(age));
            }
        }
        let metrics = &self.context.metrics;
        metrics.oldest_observation.set(oldest.as_secs_f64());
        // Replicas that have left are not loads of zero.
        metrics.replica_targets.reset();
        metrics.replica_oldest_observation.reset();
        for (name, (targets, oldest)) in &loads {
            metrics.replica_targets.with_label_values(&[name.as_str()]).set(i64::from(*targets));
            metrics.replica_oldest_observation.with_label_values(&[name.as_str()]).set(oldest.as_secs_f64());
        }
        let load = |(name, (targets, oldest)): (&ReplicaName, (u32, Duration))| ReplicaLoad {
            name: name.to_string(),
            targets,
            oldest_observation_seconds: Some(u32::try_from(oldest.as_secs()).unwrap_or(u32::MAX)),
        };
        self.context.exchange.loads.send_replace(loads.into_iter().map(load).collect());
    }
}

#[cfg(test)]
#[path = "tick_tests.rs"]
mod tests;
