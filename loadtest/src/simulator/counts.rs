//! What simulated clusters were asked.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    List,
    Watch,
    /// `/version`, `/livez`, `/readyz`, `/healthz`.
    Liveness,
    /// One object by its name.
    Named,
    Other,
}

/// Counts of one cluster or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// TCP connections so far.
    pub accepted: u64,
    /// TCP connections that are open now.
    pub open: u64,
    /// Also those that a watch begins with.
    pub lists: u64,
    /// Watches so far that began with no list.
    pub watches: u64,
    /// Watches that are open now.
    pub open_watches: u64,
    pub liveness: u64,
    pub named: u64,
    pub others: u64,
}

impl Counts {
    /// Requests of all kinds.
    pub fn requests(&self) -> u64 {
        self.lists + self.watches + self.liveness + self.named + self.others
    }

    pub(super) fn add(&mut self, more: &Self) {
        let Self { accepted, open, lists, watches, open_watches, liveness, named, others } = more;
        self.accepted += accepted;
        self.open += open;
        self.lists += lists;
        self.watches += watches;
        self.open_watches += open_watches;
        self.liveness += liveness;
        self.named += named;
        self.others += others;
    }
}

/// The counters of one cluster.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU32,
    pub(super) open: AtomicU32,
    pub(super) open_watches: AtomicU32,
    requests: [AtomicU32; 5],
    /// Of the last request, in ms since the start.
    asked: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, purpose: Purpose, began: Instant) {
        self.requests[purpose as usize].fetch_add(1, Relaxed);
        self.asked.store(began.elapsed().as_millis() as u64, Relaxed);
    }

    /// When the last request came, since the start.
    pub(super) fn asked(&self) -> Duration {
        Duration::from_millis(self.asked.load(Relaxed))
    }

    pub(super) fn read(&self) -> Counts {
        let [lists, watches, liveness, named, others] =
            std::array::from_fn(|place| u64::from(self.requests[place].load(Relaxed)));
        let get = |counter: &AtomicU32| u64::from(counter.load(Relaxed));
        Counts {
            accepted: get(&self.accepted),
            open: get(&self.open),
            open_watches: get(&self.open_watches),
            lists,
            watches,
            liveness,
            named,
            others,
        }
    }
}
