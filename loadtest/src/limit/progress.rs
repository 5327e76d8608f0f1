//! Progress of the baseline's connections.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts over all targets of the process.
#[derive(Debug)]
pub struct Progress {
    targets: u64,
    pub(super) connected: AtomicU64,
    /// Targets whose first lists are read and whose watches are open.
    pub(super) watched: AtomicU64,
    /// Body frames received on watches.
    pub(super) events: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Connections that failed or broke.
    pub(super) failures: AtomicU64,
}

impl Progress {
    pub(super) fn new(targets: usize) -> Self {
        Self {
            targets: targets as u64,
            connected: AtomicU64::new(0),
            watched: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    pub fn targets(&self) -> u64 {
        self.targets
    }

    pub fn is_complete(&self) -> bool {
        self.watched.load(Relaxed) >= self.targets
    }

    #[cfg(test)]
    pub fn events(&self) -> u64 {
        self.events.load(Relaxed)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { targets, connected, watched, events, bytes, failures } = self;
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        write!(
            f,
            "{} connections, {} of {targets} targets watched, {} events, {} MiB, {} failures",
            get(connected),
            get(watched),
            get(events),
            get(bytes) >> 20,
            get(failures)
        )
    }
}
