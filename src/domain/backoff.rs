//! Computes when a target is retried.

use std::time::Duration;

/// Cap on the back-off, unless the interval is longer.
pub const MAX_BACKOFF: Duration = Duration::from_secs(300);

/// Part of a delay that jitter may take off a target's, which spreads the retries of targets that failed together.
const TARGET_SPREAD: f64 = 0.2;

const RECONNECT: Backoff = Backoff { first: Duration::from_secs(1), longest: MAX_BACKOFF, spread: TARGET_SPREAD };

/// Exponential back-off with jitter.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Delay after the first failure; it doubles with each further one.
    pub first: Duration,
    pub longest: Duration,
    /// Part of the delay, in 0.0..=1.0, that jitter may take off.
    pub spread: f64,
}

impl Backoff {
    /// Delay after a failure that `earlier` failures in a row preceded. `jitter` is in 0.0..=1.0.
    pub fn delay(&self, earlier: u32, jitter: f64) -> Duration {
        let factor = 2u32.saturating_pow(earlier);
        jittered(self.first.saturating_mul(factor).min(self.longest), self.spread, jitter)
    }
}

/// Takes `jitter`, in 0.0..=1.0, of the part `spread` off the delay.
pub fn jittered(delay: Duration, spread: f64, jitter: f64) -> Duration {
    delay.mul_f64(1.0 - spread * jitter.clamp(0.0, 1.0))
}

/// Time from the start of one round to the next.
///
/// Up to `threshold` failures it is the interval, as back-off would delay the verdict; then it doubles with each
/// failure.
pub fn next_round(interval: Duration, failures: u32, threshold: u32, jitter: f64) -> Duration {
    let rounds = Backoff { first: interval, longest: MAX_BACKOFF.max(interval), spread: TARGET_SPREAD };
    rounds.delay(failures.saturating_sub(threshold), jitter)
}

/// Delay before the next try after a watch has ended and `tries` tries have failed since.
pub fn next_try(tries: u32, jitter: f64) -> Duration {
    RECONNECT.delay(tries, jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(30);

    fn secs(failures: u32) -> u64 {
        next_round(INTERVAL, failures, 3, 0.0).as_secs()
    }

    #[test]
    fn backoff_starts_after_the_threshold_and_is_capped() {
        assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, u32::MAX].map(secs), [30, 30, 30, 30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn retry_after_disconnect_backs_off() {
        assert_eq!([0, 1, 2, 9, u32::MAX].map(|tries| next_try(tries, 0.0).as_secs()), [1, 2, 4, 300, 300]);
    }

    #[test]
    fn interval_beyond_the_cap_is_kept() {
        let hour = Duration::from_secs(3600);
        assert_eq!(next_round(hour, 9, 3, 0.0), hour);
    }

    #[test]
    fn jitter_subtracts_at_most_a_fifth() {
        assert_eq!(next_round(INTERVAL, 0, 3, 1.0), Duration::from_secs(24));
        assert_eq!(next_round(INTERVAL, 0, 3, 77.0), Duration::from_secs(24));
    }
}
