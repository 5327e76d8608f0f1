//! Decides the members, from the coordinator's observations.
//!
//! ```text
//! Leases, heartbeats, own writes, now ──> a state each ──> members that own slots
//!                                                          Leases to take, before a member is declared dead
//!                                                          time of the next check
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::member::{Holder, MemberLease, MemberState, Observer};
use crate::domain::replica::{Incarnation, ReplicaName};

/// Delay before another attempt to take a Lease.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// The observations of the coordinator.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    pub me: &'a ReplicaName,
    pub observer: Observer,
    pub leases: &'a BTreeMap<ReplicaName, MemberLease>,
    /// Members of the last map. Empty if there was none.
    pub last: &'a BTreeMap<ReplicaName, Incarnation>,
    /// `replicas` of the StatefulSet. `None` without one: then no member is waited for.
    pub wanted: Option<u32>,
    /// When the members of the map last changed.
    pub changed: Option<Duration>,
}

/// The result of [`Membership::decide`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The members that own slots. `None`: undecided, keep the map.
    pub members: Option<BTreeMap<ReplicaName, Incarnation>>,
    pub commands: Vec<Command>,
    /// When to decide again if nothing is observed until then.
    pub next_check: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take the Lease of a silent member, if it still has this version. The member keeps its slots until this succeeds:
    /// if it is alive, either its renewal or this write gets a conflict, so both sides know the outcome.
    TakeLease { name: ReplicaName, resource_version: String },
    /// All other live members are deaf, so this coordinator is the one cut off.
    StepDown,
}

impl Membership<'_> {
    pub fn decide(&self, now: Duration) -> Decision {
        if self.hears_nobody(now) {
            return Decision { members: None, commands: vec![Command::StepDown], next_check: None };
        }
        let commands: Vec<Command> =
            self.leases.iter().filter_map(|(name, lease)| self.take(name, lease, now)).collect();
        let held_until = self.held_until(now);
        let members = self.owners(now);
        let changes = members != *self.last;
        let mut checks: Vec<Duration> =
            self.leases.values().filter_map(|lease| self.observer.next_change(lease, now)).collect();
        checks.extend(held_until.filter(|_| changes));
        checks.extend((!commands.is_empty()).then(|| now + TAKE_AGAIN));
        Decision {
            members: Some(members).filter(|_| !changes || held_until.is_none()),
            commands,
            next_check: checks.into_iter().min(),
        }
    }

    /// The state of a member. This replica itself is never deaf, as it needs no heartbeats from itself.
    pub fn state(&self, name: &ReplicaName, lease: &MemberLease, now: Duration) -> MemberState {
        match self.observer.state(lease, now) {
            MemberState::Deaf if name == self.me => MemberState::Live,
            state => state,
        }
    }

    fn owners(&self, now: Duration) -> BTreeMap<ReplicaName, Incarnation> {
        self.leases.iter().filter_map(|(name, lease)| Some((name.clone(), self.owner(name, lease, now)?))).collect()
    }

    /// The process of a member, if it may own slots. A new process of the same replica replaces the old one and gets
    /// its slots.
    fn owner(&self, name: &ReplicaName, lease: &MemberLease, now: Duration) -> Option<Incarnation> {
        match (&lease.holder, self.state(name, lease, now)) {
            (Holder::Process(_), MemberState::Deaf) | (Holder::Taken, _) => None,
            // Even if expired, as its Lease isn't taken yet. An expired newcomer doesn't become a member.
            (Holder::Process(process), MemberState::Expired) => {
                Some(process.clone()).filter(|_| self.last.contains_key(name))
            }
            (Holder::Process(process), _) => Some(process.clone()),
            (Holder::Nobody, _) => {
                let comes_back = self.is_wanted(name) && self.observer.is_in_grace(lease, now);
                self.last.get(name).filter(|_| comes_back).cloned()
            }
        }
    }

    fn is_wanted(&self, name: &ReplicaName) -> bool {
        name.ordinal().zip(self.wanted).is_some_and(|(ordinal, wanted)| ordinal < wanted)
    }

    fn take(&self, name: &ReplicaName, lease: &MemberLease, now: Duration) -> Option<Command> {
        let dead = matches!(lease.holder, Holder::Process(_)) && self.state(name, lease, now) == MemberState::Expired;
        let take = || Command::TakeLease { name: name.clone(), resource_version: lease.resource_version.clone() };
        (dead && name != self.me).then(take)
    }

    /// Until when a change of the members has to wait: the first change is immediate, later ones are batched. Without a
    /// map, waits up to one Lease duration for the StatefulSet's replicas, as the first one would otherwise take the
    /// whole fleet and give most of it away again.
    fn held_until(&self, now: Duration) -> Option<Duration> {
        let timing = &self.observer.timing;
        let until = if self.last.is_empty() {
            let present: BTreeSet<u32> = self.owners(now).keys().filter_map(ReplicaName::ordinal).collect();
            let complete = (0..self.wanted.unwrap_or_default()).all(|ordinal| present.contains(&ordinal));
            (!complete).then(|| self.observer.term_since.saturating_add(timing.lease))
        } else {
            self.changed.map(|changed| changed.saturating_add(timing.damping))
        };
        until.filter(|until| now < *until)
    }

    fn hears_nobody(&self, now: Duration) -> bool {
        let others = self.leases.iter().filter(|(name, _)| *name != self.me);
        let states: Vec<MemberState> = others.map(|(name, lease)| self.state(name, lease, now)).collect();
        let living = states.iter().filter(|state| **state <= MemberState::Deaf).count();
        let deaf = states.iter().filter(|state| **state == MemberState::Deaf).count();
        living >= 2 && deaf == living
    }
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
