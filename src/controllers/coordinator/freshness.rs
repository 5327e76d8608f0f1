//! How long a target may go without a look, and the verdict on one that goes for longer.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::fleet::{Fleet, Target};
use crate::domain::desired::{DesiredTarget, effective_interval};
use crate::domain::keys::TargetKey;
use crate::domain::reason::Reason;
use crate::domain::replica::{Epoch, ReplicaName};
use crate::domain::report::TargetReport;
use crate::domain::verdict::{Phase, Reach, TargetVerdict, ToolVerdict};

/// A target is stale when nobody has looked at it for this many of its intervals.
const STALE_AFTER: u32 = 3;

impl Fleet {
    /// Marks the targets of which nobody has confirmed anything for too long.
    pub(super) fn overrule_stale(&mut self) {
        let now = Instant::now();
        let is_overdue = |target: &Target| target.stale_at <= now && target.desired.is_ok();
        let overdue = self.targets.iter().filter(|(_, target)| is_overdue(target)).map(|(key, _)| key.clone());
        for key in overdue.collect::<Vec<_>>() {
            let patience = self.patience(&key, None);
            let Some(target) = self.targets.get(&key) else { continue };
            // One that nobody has looked at yet has its time from when its owner could.
            let due = match self.is_unjudged(target) {
                true => self.could_look(target).map_or(now, |since| since) + patience,
                false => now,
            };
            let is_stale = due <= now && !is_known_to_be_paused(target);
            if let Some(target) = self.targets.get_mut(&key) {
                target.stale_at = if due > now { due } else { now + patience };
            }
            if is_stale {
                self.overrule(&key, &Reach::Stale);
            }
        }
    }

    fn is_unjudged(&self, target: &Target) -> bool {
        let phase = target.status.as_ref().and_then(|status| status.phase);
        target.observed.is_none() && matches!(phase, None | Some(Phase::Initializing))
    }

    /// Since when its owner has known that the target is its own, and has had nothing else to look at first.
    fn could_look(&self, target: &Target) -> Option<Instant> {
        let owner = self.desk.ownership.owner(target.slot)?;
        Some(self.desk.could_look(owner, self.desk.ownership.since(target.slot)?)?.max(target.labelled?))
    }

    /// The target was looked at just now.
    pub(super) fn renew(&mut self, key: &TargetKey) {
        let patience = self.patience(key, None);
        if let Some(target) = self.targets.get_mut(key) {
            let now = Instant::now();
            target.observed = Some(now);
            target.stale_at = target.stale_at.max(now + patience);
        }
    }

    /// How long a target may go without a report.
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
        STALE_AFTER * interval.max(next.unwrap_or_default()).max(self.context.round)
    }

    /// Looks at all Integrations; a heartbeat must not do so for each target.
    pub(super) fn interval_of(&self, target: Option<&DesiredTarget>) -> Duration {
        let Some(target) = target else { return self.context.round };
        let concerned = self.integrations.values().map(|tool| &tool.desired).filter(|tool| tool.concerns(target));
        effective_interval(concerned, self.context.round)
    }

    pub(super) fn forget_intervals(&mut self, namespace: &str) {
        let concerned = self.targets.iter_mut().filter(|(key, _)| key.namespace() == namespace);
        concerned.for_each(|(_, target)| target.interval = None);
    }

    /// Says `reach` of the target, whatever was reported.
    pub(super) fn overrule(&mut self, key: &TargetKey, reach: &Reach) {
        let verdict = Arc::new(self.verdict_for_all(key, reach));
        let Some(target) = self.targets.get_mut(key) else { return };
        (target.report, target.stale) = (None, *reach == Reach::Stale);
        let former = target.summary();
        let report = TargetReport {
            target: key.clone(),
            verdict,
            omitted: 0,
            mode: None,
            generation: target.object.metadata.generation.unwrap_or(0),
            secret_version: former.and_then(|status| status.secret_resource_version.clone()),
            server: former.and_then(|status| status.server.clone()),
            credential_ends: None,
            reported_by: ReplicaName::new(former.and_then(|status| status.reported_by.clone()).unwrap_or_default()),
            epoch: Epoch(former.and_then(|status| status.report_epoch).unwrap_or(0)).min(self.desk.epoch),
            next: Duration::ZERO,
        };
        self.publish_target(report);
    }

    /// The same for every tool on the target, for what concerns the target as a whole.
    fn verdict_for_all(&self, key: &TargetKey, reach: &Reach) -> TargetVerdict {
        let Some(Target { desired: Ok(target), .. }) = self.targets.get(key) else {
            return TargetVerdict { reach: reach.clone(), tools: Vec::new() };
        };
        let tool = match reach {
            Reach::Failed(failure) => {
                ToolVerdict::without_observations(Phase::Failed, failure.reason, failure.message.clone())
            }
            _ => ToolVerdict::without_observations(
                Phase::Unknown,
                Reason::Stale,
                "nobody has reported for three intervals",
            ),
        };
        let concerned = self.integrations.values().filter(|integration| integration.desired.concerns(target));
        let tools = concerned.map(|integration| (integration.desired.key.clone(), tool.clone())).collect();
        TargetVerdict { reach: reach.clone(), tools }
    }
}

/// Its spec says so, whether anybody reports it or not.
fn is_known_to_be_paused(target: &Target) -> bool {
    let is_paused = target.desired.as_ref().is_ok_and(|desired| desired.is_paused(Timestamp::now()));
    is_paused && target.status.as_ref().is_some_and(|status| status.phase == Some(Phase::Paused))
}
