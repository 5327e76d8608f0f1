//! When the next request to a receiver may be sent: its rate, and the pause after a failure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::backoff::Backoff;

const MINUTE: Duration = Duration::from_secs(60);

/// Without jitter: each Notifier has a receiver of its own.
const RETRY: Backoff = Backoff { first: Duration::from_secs(5), longest: Duration::from_secs(300), spread: 0.0 };

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Requests of the last minute.
    sent: VecDeque<Duration>,
    /// Failures in a row.
    failures: u32,
    not_before: Duration,
}

impl Pace {
    /// Requests that may be sent now, of so many a minute.
    pub(super) fn budget(&mut self, per_minute: u32, now: Duration) -> usize {
        while self.sent.front().is_some_and(|sent| now.saturating_sub(*sent) >= MINUTE) {
            self.sent.pop_front();
        }
        (per_minute as usize).saturating_sub(self.sent.len())
    }

    pub(super) fn is_pausing(&self, now: Duration) -> bool {
        now < self.not_before
    }

    /// A request is sent. One that fails counts as well: the receiver had it.
    pub(super) fn on_sent(&mut self, now: Duration) {
        self.sent.push_back(now);
    }

    pub(super) fn on_answer(&mut self, arrived: bool, now: Duration) {
        if arrived {
            (self.failures, self.not_before) = (0, now);
        } else {
            self.not_before = now + RETRY.delay(self.failures, 0.0);
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// The user has changed something: no reason to wait.
    pub(super) fn forget_failures(&mut self) {
        (self.failures, self.not_before) = (0, Duration::ZERO);
    }
}
