//! How long a target may go without an observation, and the verdict on one that goes for longer.

use std::sync::Arc;
use std::time::Duration;

use super::fleet::Fleet;
use super::target::Target;
use crate::domain::desired::{DesiredTarget, effective_interval};
use crate::domain::keys::TargetKey;
use crate::domain::reason::Reason;
use crate::domain::replica::{Epoch, ReplicaName};
use crate::domain::report::TargetReport;
use crate::domain::verdict::{Phase, Reach, STALE_MESSAGE, TargetVerdict, ToolVerdict};

/// A target is stale when it has not been observed for this many of its intervals.
const STALE_AFTER: u32 = 3;

impl Fleet {
    /// Marks the targets of which nothing has been confirmed for too long.
    pub(super) fn overrule_stale(&mut self) {
        let now = self.now.clock;
        let is_overdue = |target: &Target| target.stale_at <= now && target.desired.is_ok();
        let overdue = self.targets.iter().filter(|(_, target)| is_overdue(target)).map(|(key, _)| key.clone());
        for key in overdue.collect::<Vec<_>>() {
            let patience = self.patience(&key, None);
            let Some(target) = self.targets.get(&key) else { continue };
            // A target that was never observed has its time from when its owner could have begun.
            let due = match self.is_unjudged(target) {
                true => self.owner_free_since(target).unwrap_or(now) + patience,
                false => now,
            };
            let is_stale = due <= now && !self.is_known_to_be_paused(target);
            if let Some(target) = self.targets.get_mut(&key) {
                target.stale_at = if due > now { due } else { now + patience };
            }
            if is_stale {
                self.overrule(&key, &Reach::Stale);
            }
        }
    }

    fn is_unjudged(&self, target: &Target) -> bool {
        let phase = target.status().and_then(|status| status.phase);
        target.observed.is_none() && matches!(phase, None | Some(Phase::Initializing))
    }

    /// Time since which its owner has known the target as its own, and has had no other to read first.
    fn owner_free_since(&self, target: &Target) -> Option<Duration> {
        let owner = self.sessions.ownership.owner(target.slot)?;
        let epoch = self.sessions.ownership.since(target.slot)?;
        Some(self.sessions.idle_since(owner, epoch)?.max(target.labelled?))
    }

    /// Its spec and its status agree on that, whether a worker reports it or not.
    fn is_known_to_be_paused(&self, target: &Target) -> bool {
        let is_paused = target.desired.as_ref().is_ok_and(|desired| desired.is_paused(self.now.wall));
        is_paused && target.status().is_some_and(|status| status.phase == Some(Phase::Paused))
    }

    /// The target was observed just now.
    pub(super) fn renew(&mut self, key: &TargetKey) {
        let patience = self.patience(key, None);
        let now = self.now.clock;
        if let Some(target) = self.targets.get_mut(key) {
            target.observed = Some(now);
            target.stale_at = target.stale_at.max(now + patience);
        }
    }

    /// How long the target may go without a report. `next`: time until the next one, as its worker announced.
    pub(super) fn patience(&mut self, key: &TargetKey, next: Option<Duration>) -> Duration {
        let known = self.targets.get(key);
        let interval = known
            .and_then(|target| target.interval)
            .unwrap_or_else(|| self.interval_of(known.and_then(|target| target.desired.as_ref().ok())));
        if let Some(target) = self.targets.get_mut(key) {
            target.interval = Some(interval);
        }
        self.patience_of(interval, next)
    }

    pub(super) fn patience_of(&self, interval: Duration, next: Option<Duration>) -> Duration {
        STALE_AFTER * interval.max(next.unwrap_or_default()).max(self.round)
    }

    /// Goes through all Integrations; a heartbeat must not do so for each target.
    pub(super) fn interval_of(&self, target: Option<&DesiredTarget>) -> Duration {
        let Some(target) = target else { return self.round };
        let concerned = self.integrations.values().map(|known| &known.desired).filter(|known| known.concerns(target));
        effective_interval(concerned, self.round)
    }

    pub(super) fn forget_intervals(&mut self, namespace: &str) {
        let concerned = self.targets.iter_mut().filter(|(key, _)| key.namespace() == namespace);
        concerned.for_each(|(_, target)| target.interval = None);
    }

    /// Publishes `reach` for the target, whatever was reported.
    pub(super) fn overrule(&mut self, key: &TargetKey, reach: &Reach) {
        let verdict = Arc::new(self.verdict_for_all(key, reach));
        let Some(target) = self.targets.get_mut(key) else { return };
        (target.report, target.is_stale) = (None, *reach == Reach::Stale);
        let former = target.status();
        let report = TargetReport {
            generation: target.generation,
            secret_version: former.and_then(|status| status.secret_version.clone()),
            server: former.and_then(|status| status.server.clone()),
            reported_by: former.and_then(|status| status.reported_by.clone()).unwrap_or_else(|| ReplicaName::new("")),
            epoch: former.and_then(|status| status.report_epoch).unwrap_or(Epoch(0)).min(self.sessions.epoch),
            ..TargetReport::new(key.clone(), verdict)
        };
        self.publish_target(report);
    }

    /// The same verdict for every tool on the target.
    fn verdict_for_all(&self, key: &TargetKey, reach: &Reach) -> TargetVerdict {
        let Some(Target { desired: Ok(target), .. }) = self.targets.get(key) else {
            return TargetVerdict { reach: reach.clone(), tools: Vec::new() };
        };
        let tool = match reach {
            Reach::Failed(failure) => {
                ToolVerdict::without_observations(Phase::Failed, failure.reason, failure.message.clone())
            }
            _ => ToolVerdict::without_observations(Phase::Unknown, Reason::Stale, STALE_MESSAGE),
        };
        let concerned = self.integrations.values().filter(|known| known.desired.concerns(target));
        let tools = concerned.map(|known| (known.desired.key.clone(), tool.clone())).collect();
        TargetVerdict { reach: reach.clone(), tools }
    }
}

#[cfg(test)]
#[path = "freshness_tests.rs"]
mod tests;
