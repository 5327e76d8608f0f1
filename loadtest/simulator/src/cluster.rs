//! One simulated cluster: its differences from the catalogue, and the events for its watches.
//!
//! ```text
//! set(component, health) ─> change(resourceVersion) ─> history ─┬─> open watches catch up
//!                                                               └─> a watch resumed from an old version: events or 410
//! ```
//!
//! The history is the queue: each watch keeps the version up to which it has sent and continues from there. An
//! unchanged cluster has an empty history and serves the shared bytes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::catalogue::Health;
use super::counts::Counters;
use super::fault::{Fault, Onset};

#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) counters: Counters,
    /// Delay of everything sent, in ms.
    pub(super) delay: AtomicU32,
    state: Mutex<State>,
    /// Wakes open connections when the state has changed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Version of the last change; 0 if there was none.
    version: u64,
    /// A new watch from an older version gets 410.
    pub(super) compacted: u64,
    /// An open watch that has not sent up to this version has lost events and gets 410.
    pub(super) trimmed: u64,
    /// Objects that were ever changed, by catalogue index.
    pub(super) differing: BTreeMap<u16, Differing>,
    pub(super) history: VecDeque<Change>,
    pub(super) fault: Option<Fault>,
    /// Number of tokens issued, and number of the oldest that are refused.
    pub(super) token: u32,
    pub(super) revoked: u32,
    pub(super) commands: CommandCounters,
}

/// An object that differs, or once differed, from the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Differing {
    pub(super) health: Health,
    pub(super) version: u64,
}

/// One change, sent as an event to watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) object: u16,
    pub(super) from: Health,
    pub(super) to: Health,
}

/// Counters of commands to the cluster's connections. Each connection compares them with the values it saw last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CommandCounters {
    pub(super) end_watches: u32,
    pub(super) close: u32,
    pub(super) reset: u32,
    pub(super) silence: u32,
    /// Send GOAWAY, like a server that shuts down gracefully.
    pub(super) go_away: u32,
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self {
            counters: Counters::default(),
            delay: AtomicU32::new(0),
            state: Mutex::default(),
            changed: watch::Sender::new(()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and wakes the connections.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.state());
        self.changed.send_replace(());
        result
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

impl State {
    /// The cluster's resourceVersion. `idle` is the version of an unchanged cluster; it grows with time, as on a real
    /// cluster where other objects change.
    pub(super) fn current(&self, idle: u64) -> u64 {
        self.version.max(idle)
    }

    pub(super) fn health(&self, object: u16) -> Health {
        self.differing.get(&object).map_or(Health::Healthy, |differing| differing.health)
    }

    /// Changes an object's health, keeping at most `events` in the history. Returns whether anything changed.
    pub(super) fn set(&mut self, object: u16, to: Health, idle: u64, events: usize) -> bool {
        let from = self.health(object);
        if from == to {
            return false;
        }
        self.record(object, (from, to), idle, events);
        true
    }

    fn record(&mut self, object: u16, (from, to): (Health, Health), idle: u64, events: usize) {
        self.version = self.current(idle) + 1;
        let version = self.version;
        self.differing.insert(object, Differing { health: to, version });
        self.history.push_back(Change { version, object, from, to });
        while self.history.len() > events {
            if let Some(oldest) = self.history.pop_front() {
                self.trimmed = oldest.version;
                self.compacted = self.compacted.max(oldest.version);
            }
        }
    }

    /// Changes an object without its health, keeping at most `events` in the history.
    pub(super) fn touch(&mut self, object: u16, idle: u64, events: usize) {
        let health = self.health(object);
        self.record(object, (health, health), idle, events);
    }

    /// Changes after `version`, oldest first.
    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let first = self.history.partition_point(|change| change.version <= version);
        self.history.range(first..)
    }

    /// Compacts the history: new watches from an older version get 410; open ones have already seen it.
    pub(super) fn compact(&mut self, idle: u64) {
        self.compacted = self.current(idle);
    }

    pub(super) fn inject(&mut self, fault: Option<Fault>, idle: u64) {
        self.fault = fault;
        let CommandCounters { end_watches, close, reset, silence, go_away: _ } = &mut self.commands;
        match fault.map_or(Onset::Nothing, Fault::onset) {
            Onset::Nothing => {}
            Onset::EndWatches => *end_watches += 1,
            Onset::ForgetWatches => {
                *end_watches += 1;
                // Simulates another change, so every version listed so far is too old.
                self.version = self.current(idle) + 1;
                self.compact(idle);
            }
            Onset::Close => *close += 1,
            Onset::Reset => *reset += 1,
            Onset::Silence => *silence += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_with_changes_and_time() {
        let mut state = State::default();
        assert!(state.set(3, Health::Broken, 100, 2));
        assert!(!state.set(3, Health::Broken, 100, 2), "it is broken already");
        assert!(state.set(4, Health::Absent, 100, 2));
        assert_eq!(state.current(100), 102);
        assert_eq!(state.current(500), 500);
        assert_eq!(state.since(101).map(|change| change.object).collect::<Vec<_>>(), [4]);
        assert!(state.set(3, Health::Healthy, 500, 2));
        assert_eq!((state.current(500), state.trimmed), (501, 101));
    }
}
