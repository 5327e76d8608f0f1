//! The work of a tick: staleness, requests that were not answered, and the fleet's metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use super::effect::{Figures, Load, Metric};
use super::fleet::Fleet;
use super::target::Target;
use crate::domain::aggregate::{ClusterState, Counts};
use crate::domain::replica::ReplicaName;
use crate::domain::status::{CREDENTIAL_EXPIRING, TargetStatus};
use crate::domain::verdict::Phase;

impl Fleet {
    pub(super) fn on_tick(&mut self) {
        self.overrule_stale();
        self.ask_again();
        self.follow_windows();
        self.notify();
        let figures = self.figures();
        self.measure(Metric::Fleet(Box::new(figures)));
    }

    fn figures(&self) -> Figures {
        let (mut counts, mut expiring, mut maintained, mut invalid) = (Counts::default(), 0_usize, 0_usize, 0_usize);
        for target in self.targets.values() {
            let status = target.status();
            let phase = status.and_then(|status| status.phase).unwrap_or(Phase::Initializing);
            // A target with an invalid spec is not unreachable.
            let cause = status.filter(|_| target.desired.is_ok()).and_then(TargetStatus::unreachable_cause);
            counts.add(ClusterState::of(phase, cause.is_some()));
            expiring += usize::from(status.is_some_and(|status| status.condition(CREDENTIAL_EXPIRING).is_some()));
            maintained += usize::from(status.is_some_and(|status| status.maintenance.is_some()));
            invalid += usize::from(target.desired.is_err());
        }
        let loads = self.loads();
        let ages = self.usable().map(|target| self.age(target));
        Figures {
            targets: counts.by_state(),
            credentials_expiring: expiring,
            in_maintenance: maintained,
            invalid_targets: invalid,
            invalid_integrations: self.integrations.values().filter(|known| known.desired.expected.is_err()).count(),
            oldest_observation: ages.max().unwrap_or_default(),
            loads,
        }
    }

    /// Load and freshness of each replica.
    pub(super) fn loads(&self) -> Vec<Load> {
        let mut loads: BTreeMap<&ReplicaName, (u32, Duration)> =
            self.sessions.names_of_workers().map(|name| (name, Default::default())).collect();
        for target in self.usable() {
            if let Some(owner) = self.sessions.ownership.owner(target.slot) {
                let load = loads.entry(&owner.name).or_default();
                *load = (load.0 + 1, load.1.max(self.age(target)));
            }
        }
        let load = |(name, (targets, oldest_observation)): (&ReplicaName, _)| Load {
            name: name.clone(),
            targets,
            oldest_observation,
        };
        loads.into_iter().map(load).collect()
    }

    fn usable(&self) -> impl Iterator<Item = &Target> {
        self.targets.values().filter(|target| target.desired.is_ok())
    }

    /// Time since its last observation, or since the start of the term.
    fn age(&self, target: &Target) -> Duration {
        self.now.clock.saturating_sub(target.observed.unwrap_or(self.began))
    }
}
