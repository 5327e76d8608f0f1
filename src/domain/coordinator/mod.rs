//! Decisions of the coordinator: events in, effects out, no I/O.
//!
//! ```text
//! Leases, StatefulSet, map ──> members ─┬──> take a Lease, write the map, step down
//!                      weights, heard ──┤
//! objects, messages, ticks ──> fleet ───┴──> write a status, ask a worker, repair metadata, measure
//! ```
//!
//! `controllers::coordinator` feeds it and performs the effects; `tests/sim` drives the same code through thousands of
//! faults. An Integration is summed up from the statuses of its targets, not from reports: a new coordinator reads from
//! the hub all that its predecessor knew.

mod claim;
mod confirm;
mod deferred;
mod effect;
mod event;
mod figures;
mod fleet;
mod freshness;
mod integrations;
mod members;
mod messages;
mod notifiers;
mod other_installations;
mod sessions;
mod summaries;
mod target;
#[cfg(test)]
mod test_kit;
mod wanted;
mod windows;

use std::time::Duration;

use jiff::Timestamp;

pub use claim::Shown;
pub use effect::{Effect, NotifyTask, TargetWrite, TermEnd};
pub(crate) use effect::{Figures, IntegrationWrite, Load, MapStatus, Metric, Notice};
pub use event::{CachedStatus, Event, Message, NotifierObject, NotifyAnswer, ObjectEvent, TargetObject};
pub(crate) use event::{ForeignLease, IntegrationObject, LeaseUnread};
pub(crate) use other_installations::lease_of;

use super::desired::DesiredTarget;
use super::keys::TargetKey;
use super::member::Timing;
use super::replica::Incarnation;
use super::shard_map::PublishedMap;
use super::status::TargetStatus;
use fleet::Fleet;
use members::Members;

/// The time of an event.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// On the process's own monotonic clock.
    pub clock: Duration,
    /// For times in statuses.
    pub wall: Timestamp,
    /// Since when this replica's own writes succeed without a gap, on the same clock as `clock`; see
    /// [`OwnWrites`](super::own_writes::OwnWrites).
    pub writes_since: Option<Duration>,
}

/// Settings of a coordinator, which hold for its whole term.
#[derive(Clone, Debug)]
pub struct Config {
    /// The process that claimed the term.
    pub me: Incarnation,
    /// This installation, as `managedBy` names it: `namespace/name`.
    pub installation: String,
    /// Durations of Leases and rounds.
    pub timing: Timing,
}

/// The coordinator for one term.
pub struct Coordinator {
    fleet: Fleet,
    members: Members,
    /// The first lists are in.
    has_begun: bool,
}

impl Coordinator {
    /// `claimed` is the map by which the term was claimed. The first lists follow as events, then [`Self::begin`].
    pub fn new(config: Config, claimed: PublishedMap, now: Now) -> Self {
        let Config { me, installation, timing } = config;
        let fleet = Fleet::new(claimed.map.term, installation, timing.round, now);
        Self { fleet, members: Members::new(me.name, timing, claimed, now.clock), has_begun: false }
    }

    /// Takes the claimed map in.
    pub fn begin(&mut self, now: Now) -> Vec<Effect> {
        (self.fleet.now, self.has_begun) = (now, true);
        let map = self.members.map().clone();
        self.fleet.on_map(&map);
        self.effects()
    }

    /// Decides on one event. The effects are to be performed in their order, before those of the next event.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        self.fleet.now = now;
        let is_counted = matches!(event, Event::Tick | Event::Target(ObjectEvent::Listed(_)));
        match event {
            Event::Target(event) => self.fleet.on_target(event),
            Event::Integration(event) => self.fleet.on_integration(event),
            Event::Message(message) => {
                self.members.hear(&message.sender, now.clock);
                self.fleet.on_message(message);
            }
            Event::Notifier(event) => self.fleet.on_notifier(event),
            Event::Window(event) => self.fleet.windows.on_event(event, now.wall),
            Event::Notified { key, answer } => self.fleet.on_notified(&key, answer),
            Event::OtherInstallation { name, lease } => self.fleet.on_other_installation(&name, lease),
            Event::Tick => self.fleet.on_tick(),
            // Not with every event: a summary may take longer than hundreds of other events.
            Event::Timer if self.has_begun => self.fleet.summarize_due(),
            Event::Timer => {}
            Event::Leases(leases) => self.members.on_leases(leases),
            Event::LeaseTaken => self.members.on_lease_taken(),
            Event::StatefulSet(replicas) => self.members.on_stateful_set(replicas),
            Event::Map(map) => {
                let ours = self.members.on_map(map, now.clock);
                ours.iter().for_each(|map| self.fleet.on_map(map));
            }
            Event::MapWritten => {
                let ours = self.members.on_map_written(now.clock);
                ours.iter().for_each(|map| self.fleet.on_map(map));
            }
            Event::MapStatusWritten => self.members.on_map_status_written(),
            Event::MapWriteFailed => self.members.on_map_write_failed(now.clock),
        }
        if is_counted {
            self.members.on_weights(self.fleet.weights());
        }
        if self.has_begun {
            self.members.step(&self.fleet, now);
        }
        self.effects()
    }

    /// When [`Event::Timer`] is due if nothing happens before.
    pub fn next_timer(&self) -> Duration {
        self.fleet.next_due().map_or(self.members.next_check(), |due| due.min(self.members.next_check()))
    }

    /// The map as it was last written or read.
    pub fn published(&self) -> &PublishedMap {
        self.members.published()
    }

    /// Usable targets and their statuses, without components.
    pub fn targets(&self) -> impl Iterator<Item = (&TargetKey, &DesiredTarget, &TargetStatus)> {
        self.fleet.statuses()
    }

    fn effects(&mut self) -> Vec<Effect> {
        let mut effects = std::mem::take(&mut self.fleet.effects);
        effects.append(&mut self.members.effects);
        effects
    }
}
