//! Counts requests to simulated clusters.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Purpose of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    List,
    Watch,
    /// `/version`, `/livez`, `/readyz`, `/healthz`.
    Liveness,
    /// GET of one object.
    Named,
    Other,
}

/// Counts of one cluster, or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// TCP connections so far.
    pub accepted: u64,
    /// Open TCP connections.
    pub open: u64,
    /// Includes watches that begin with a list.
    pub lists: u64,
    /// Watches so far that began without a list.
    pub watches: u64,
    /// Open watches.
    pub open_watches: u64,
    /// Requests so far of `/version`, `/livez`, `/readyz` and `/healthz`.
    pub liveness: u64,
    /// GETs of one object so far.
    pub named: u64,
    /// All other requests so far.
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
    /// Time of the last request, in ms since the start.
    last_request: AtomicU64,
}

impl Counters {
    pub(super) fn count(&self, purpose: Purpose, began: Instant) {
        self.requests[purpose as usize].fetch_add(1, Relaxed);
        self.last_request.store(began.elapsed().as_millis() as u64, Relaxed);
    }

    /// Time of the last request, since the start.
    pub(super) fn last_request(&self) -> Duration {
        Duration::from_millis(self.last_request.load(Relaxed))
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
