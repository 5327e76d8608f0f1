//! Whether this replica is ready, and whether it is alive.
//!
//! Ready: everything that it needs has been listed once. Alive: its rounds finish. Neither asks whether the hub
//! answers right now: a restart would not mend that.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A round that has not ended by then hangs in ksit itself, unless it may take longer.
const STUCK: Duration = Duration::from_secs(180);

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
    /// What has to be there before the replica is ready, and whether it is.
    needs: BTreeMap<&'static str, bool>,
    in_flight: u64,
    last_progress: Option<Instant>,
}

impl Health {
    /// `round` is the time that a round may take: twice that is too long.
    pub fn new(round: Duration) -> Self {
        Self { inner: Mutex::default(), stuck: STUCK.max(round.saturating_mul(2)) }
    }

    /// Declares something without which the replica isn't ready.
    pub fn need(&self, what: &'static str) {
        self.lock().needs.entry(what).or_insert(false);
    }

    pub fn has(&self, what: &'static str) {
        self.lock().needs.insert(what, true);
    }

    /// What is still missing; empty when ready.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().needs.iter().filter(|(_, there)| !**there).map(|(what, _)| *what).collect()
    }

    /// A round, which ends when it is dropped: also one that is cut off in the middle.
    pub fn round(&self) -> Round<'_> {
        let mut inner = self.lock();
        if inner.in_flight == 0 {
            inner.last_progress = Some(Instant::now());
        }
        inner.in_flight += 1;
        Round(self)
    }

    /// Rounds are under way and none has ended for longer than any may take.
    pub fn is_stuck(&self, now: Instant) -> bool {
        let inner = self.lock();
        inner.in_flight > 0 && inner.last_progress.is_some_and(|last| now.duration_since(last) > self.stuck)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A round that is under way.
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
    fn rounds_that_may_take_long_are_not_stuck() {
        let health = Health::new(Duration::from_secs(300));
        let _round = health.round();
        assert!(!health.is_stuck(Instant::now() + Duration::from_secs(300)), "--round-timeout=300s");
        assert!(health.is_stuck(Instant::now() + Duration::from_secs(601)));
    }

    #[test]
    fn names_what_is_missing() {
        let health = Health::default();
        health.need("targets");
        health.need("integrations");
        health.has("targets");
        assert_eq!(health.missing(), ["integrations"]);
    }

    #[test]
    fn is_stuck_only_when_rounds_do_not_end() {
        let health = Health::default();
        let later = || Instant::now() + STUCK * 2;
        assert!(!health.is_stuck(later()), "idle");
        let (one, two) = (health.round(), health.round());
        assert!(health.is_stuck(later()));
        drop(one);
        assert!(!health.is_stuck(Instant::now() + STUCK / 2), "one of two ended");
        drop(two);
        assert!(!health.is_stuck(later()), "idle again");
    }
}
