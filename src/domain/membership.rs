//! Who takes part, as the coordinator sees it.
//!
//! ```text
//! Leases, heartbeats, own writes, now ──> a state each ──> who owns slots
//!                                                          Leases to take, before anybody is declared dead
//!                                                          when to look again
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::domain::member::{Holder, MemberLease, MemberState, Observer};
use crate::domain::replica::{Incarnation, ReplicaName};

/// How long a Lease that could not be taken is left alone.
const TAKE_AGAIN: Duration = Duration::from_secs(1);

/// What the coordinator knows.
#[derive(Clone, Copy, Debug)]
pub struct Membership<'a> {
    pub me: &'a ReplicaName,
    pub observer: Observer,
    pub leases: &'a BTreeMap<ReplicaName, MemberLease>,
    /// Members of the last map. Empty where there was none.
    pub last: &'a BTreeMap<ReplicaName, Incarnation>,
    /// `replicas` of the StatefulSet. `None` without one: then nobody is waited for.
    pub wanted: Option<u32>,
    /// When the members of the map last changed.
    pub changed: Option<Duration>,
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who owns slots. `None`: not to be said yet, the map stays as it is.
    pub members: Option<BTreeMap<ReplicaName, Incarnation>>,
    pub commands: Vec<Command>,
    /// When to ask again if nothing is seen until then.
    pub next_check: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Take the Lease of a silent member, if it still has this version. The member keeps its slots until that
    /// succeeded: if it lives, either its renewal or this write is refused, and both sides know.
    TakeLease { name: ReplicaName, resource_version: String },
    /// Nobody can be heard though others live: it is this coordinator that is cut off.
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

    /// This replica isn't judged by what it would have to hear from itself.
    pub fn state(&self, name: &ReplicaName, lease: &MemberLease, now: Duration) -> MemberState {
        match self.observer.state(lease, now) {
            MemberState::Deaf if name == self.me => MemberState::Live,
            state => state,
        }
    }

    fn owners(&self, now: Duration) -> BTreeMap<ReplicaName, Incarnation> {
        self.leases.iter().filter_map(|(name, lease)| Some((name.clone(), self.owner(name, lease, now)?))).collect()
    }

    /// The process that stands for a member, if it may own slots. A new process of the same replica takes the place
    /// of the old one, and with it the slots.
    fn owner(&self, name: &ReplicaName, lease: &MemberLease, now: Duration) -> Option<Incarnation> {
        match (&lease.holder, self.state(name, lease, now)) {
            (Holder::Process(_), MemberState::Deaf) | (Holder::Taken, _) => None,
            // Also while it is expired: its Lease isn't taken yet. One that was no member doesn't become one so late.
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

    /// Until when a change of the members has to wait: the first is made at once, what follows is gathered.
    /// Without a map, one Lease duration for those that the StatefulSet wants, so that the first replica doesn't
    /// take the fleet and hand most of it away.
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
