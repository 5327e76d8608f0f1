//! One simulated cluster: what differs there from all others, and the events that its watches see.
//!
//! ```text
//! set(component, health) ─> change(resourceVersion) ─> history ─┬─> open watches catch up
//!                                                               └─> a watch resumed from an old version: events or 410
//! ```
//!
//! The history is the queue: a watch knows up to which version it has sent and reads on from there. A cluster to which
//! nothing has happened has an empty history and serves the bytes that all share.

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
    /// Of everything that it sends, in ms.
    pub(super) delay: AtomicU32,
    state: Mutex<State>,
    /// Wakes open connections when the state has changed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Of the last change; 0: none.
    version: u64,
    /// A new watch from an older version is answered with 410.
    pub(super) compacted: u64,
    /// An open watch that has sent less is behind the history.
    pub(super) trimmed: u64,
    /// Objects by place in the catalogue that were ever changed.
    pub(super) differing: BTreeMap<u16, Differing>,
    pub(super) history: VecDeque<Change>,
    pub(super) fault: Option<Fault>,
    /// How many new tokens were issued, and how many of the oldest are refused.
    pub(super) token: u32,
    pub(super) revoked: u32,
    pub(super) orders: Orders,
}

/// An object that isn't, or is no longer, as the catalogue has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Differing {
    pub(super) health: Health,
    pub(super) version: u64,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) version: u64,
    pub(super) object: u16,
    pub(super) from: Health,
    pub(super) to: Health,
}

/// How often connections were told to do something. Each compares with what was so when it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Orders {
    pub(super) end_watches: u32,
    pub(super) close: u32,
    pub(super) reset: u32,
    pub(super) silence: u32,
    /// GOAWAY, as a server sends that is shut down gracefully.
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
    /// The resourceVersion of the cluster. `idle` is what it would be if nothing had happened here; it grows with time,
    /// as other objects of a real cluster change.
    pub(super) fn current(&self, idle: u64) -> u64 {
        self.version.max(idle)
    }

    pub(super) fn health(&self, object: u16) -> Health {
        self.differing.get(&object).map_or(Health::Healthy, |differing| differing.health)
    }

    /// Keeps at most `events`. Whether there was anything to change.
    pub(super) fn set(&mut self, object: u16, to: Health, idle: u64, events: usize) -> bool {
        let from = self.health(object);
        if from == to {
            return false;
        }
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
        true
    }

    /// Changes after a version, oldest first.
    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Change> {
        let first = self.history.partition_point(|change| change.version <= version);
        self.history.range(first..)
    }

    /// Forgets what was: watches from before get 410. Open ones have seen it.
    pub(super) fn compact(&mut self, idle: u64) {
        self.compacted = self.current(idle);
    }

    pub(super) fn inject(&mut self, fault: Option<Fault>, idle: u64) {
        self.fault = fault;
        let Orders { end_watches, close, reset, silence, go_away: _ } = &mut self.orders;
        match fault.map_or(Onset::Nothing, Fault::onset) {
            Onset::Nothing => {}
            Onset::EndWatches => *end_watches += 1,
            Onset::ForgetWatches => {
                *end_watches += 1;
                // As if something else had changed there: what was listed so far is too old.
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
    fn versions_grow_with_changes_and_with_time() {
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
