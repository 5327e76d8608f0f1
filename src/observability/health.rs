//! Tracks readiness and liveness of this replica.
//!
//! Ready: everything it needs has been listed once. Alive: its rounds finish. Neither depends on whether the hub
//! answers right now, which a restart would not fix.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Time after which a round hangs because of a bug in ksit, unless `--round-timeout` allows more.
const MIN_STUCK: Duration = Duration::from_secs(180);

#[derive(Debug)]
pub struct Health {
    inner: Mutex<Inner>,
    stuck: Duration,
}

impl Default for Health {
    fn default() -> Self {
        Self::new(Duration::ZERO)
    }
}

#[derive(Debug, Default)]
struct Inner {
    /// Requirements of readiness, and whether each is met.
    needs: BTreeMap<&'static str, bool>,
    in_flight: u64,
    last_progress: Option<Instant>,
}

impl Health {
    /// `round`: maximum duration of a round; twice that is considered stuck.
    pub fn new(round: Duration) -> Self {
        Self { inner: Mutex::default(), stuck: MIN_STUCK.max(round.saturating_mul(2)) }
    }

    /// Declares a requirement of readiness.
    pub fn need(&self, what: &'static str) {
        self.lock().needs.entry(what).or_insert(false);
    }

    /// Marks a requirement as met.
    pub fn has(&self, what: &'static str) {
        self.lock().needs.insert(what, true);
    }

    /// Returns the requirements not met yet; empty when ready.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().needs.iter().filter(|(_, there)| !**there).map(|(what, _)| *what).collect()
    }

    /// Starts a round, which ends when the guard is dropped, even if it is cancelled.
    pub fn round(&self) -> Round<'_> {
        let mut inner = self.lock();
        if inner.in_flight == 0 {
            inner.last_progress = Some(Instant::now());
        }
        inner.in_flight += 1;
        Round(self)
    }

    /// Whether rounds are in progress but none has ended for longer than a round may take.
    pub fn is_stuck(&self, now: Instant) -> bool {
        let inner = self.lock();
        inner.in_flight > 0 && inner.last_progress.is_some_and(|last| now.duration_since(last) > self.stuck)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Guard of a round in progress.
#[must_use]
#[derive(Debug)]
pub struct Round<'a>(&'a Health);

impl Drop for Round<'_> {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        inner.last_progress = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_round_timeout_extends_the_stuck_limit() {
        let health = Health::new(Duration::from_secs(300));
        let _round = health.round();
        assert!(!health.is_stuck(Instant::now() + Duration::from_secs(300)), "--round-timeout=300s");
        assert!(health.is_stuck(Instant::now() + Duration::from_secs(601)));
    }

    #[test]
    fn missing_requirements_are_named() {
        let health = Health::default();
        health.need("targets");
        health.need("integrations");
        health.has("targets");
        assert_eq!(health.missing(), ["integrations"]);
    }

    #[test]
    fn stuck_only_if_rounds_do_not_end() {
        let health = Health::default();
        let later = || Instant::now() + MIN_STUCK * 2;
        assert!(!health.is_stuck(later()), "idle");
        let (one, two) = (health.round(), health.round());
        assert!(health.is_stuck(later()));
        drop(one);
        assert!(!health.is_stuck(Instant::now() + MIN_STUCK / 2), "one of two ended");
        drop(two);
        assert!(!health.is_stuck(later()), "idle again");
    }
}
