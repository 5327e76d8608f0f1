//! Bounds of what targets may take, of time, memory and turns.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

/// What is set by the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// One round of one target, from when it has its turn to connect.
    pub round_timeout: Duration,
    /// DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// Requests in flight to one target.
    pub requests: usize,
    /// Connects and handshakes in flight in the process.
    pub connects: usize,
    /// The most bytes of one answer that are read.
    pub body_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            round_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            requests: 8,
            connects: 128,
            body_bytes: 16 * 1024 * 1024,
        }
    }
}

/// The settings and the turns that all targets of the process share.
#[derive(Debug)]
pub struct Limits {
    settings: Settings,
    connects: Semaphore,
    failing: Semaphore,
}

/// Leave to connect, until dropped.
pub(super) struct Turn<'a> {
    _failing: Option<SemaphorePermit<'a>>,
    _connect: Option<SemaphorePermit<'a>>,
}

impl Limits {
    /// Targets that fail get this part of the turns, so that those that hang can't keep the healthy ones waiting.
    const FAILING_PERCENT: usize = 30;

    pub fn new(settings: Settings) -> Self {
        let connects = settings.connects.clamp(1, Semaphore::MAX_PERMITS);
        let failing = (connects.saturating_mul(Self::FAILING_PERCENT) / 100).max(1);
        Self { connects: Semaphore::new(connects), failing: Semaphore::new(failing), settings }
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Waits for leave to connect. The wait is bounded by the queue, as each turn is by `connect_timeout`.
    pub(super) async fn turn(&self, failing: bool) -> Turn<'_> {
        // Neither semaphore is ever closed, so a permit is always got.
        let failing = if failing { self.failing.acquire().await.ok() } else { None };
        Turn { _failing: failing, _connect: self.connects.acquire().await.ok() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    #[test]
    fn failing_targets_leave_most_turns_to_the_others() {
        let limits = Limits::new(Settings { connects: 10, ..Settings::default() });
        let failing: Vec<_> = (0..3).map(|_| limits.turn(true).now_or_never().unwrap()).collect();
        assert!(limits.turn(true).now_or_never().is_none(), "30 % are taken");
        let healthy: Vec<_> = (0..7).map(|_| limits.turn(false).now_or_never().unwrap()).collect();
        assert!(limits.turn(false).now_or_never().is_none(), "all are taken");
        drop(failing);
        assert!(limits.turn(true).now_or_never().is_some());
        drop(healthy);
    }
}
