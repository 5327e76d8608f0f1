//! Whether this replica is ready, and whether it is alive.
//!
//! Ready: everything that it needs has been listed once. Alive: its rounds finish. Neither asks whether the hub
//! answers right now: a restart would not mend that.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// A round has a deadline of seconds; one that has not ended by then hangs in ksit itself.
const STUCK: Duration = Duration::from_secs(180);

#[derive(Debug, Default)]
pub struct Health {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What has to be there before the replica is ready, and whether it is.
    needs: BTreeMap<&'static str, bool>,
    in_flight: u64,
    last_progress: Option<Instant>,
}

impl Health {
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

    pub fn round_started(&self, now: Instant) {
        let mut inner = self.lock();
        if inner.in_flight == 0 {
            inner.last_progress = Some(now);
        }
        inner.in_flight += 1;
    }

    pub fn round_ended(&self, now: Instant) {
        let mut inner = self.lock();
        inner.in_flight = inner.in_flight.saturating_sub(1);
        inner.last_progress = Some(now);
    }

    /// Rounds are under way and none has ended for longer than any may take.
    pub fn is_stuck(&self, now: Instant) -> bool {
        let inner = self.lock();
        inner.in_flight > 0 && inner.last_progress.is_some_and(|last| now.duration_since(last) > STUCK)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let (health, start) = (Health::default(), Instant::now());
        let later = start + STUCK * 2;
        assert!(!health.is_stuck(later), "idle");
        health.round_started(start);
        health.round_started(start);
        assert!(health.is_stuck(later));
        health.round_ended(later);
        assert!(!health.is_stuck(later + STUCK / 2), "one of two ended");
        health.round_ended(later);
        assert!(!health.is_stuck(later + STUCK * 9), "idle again");
    }
}
