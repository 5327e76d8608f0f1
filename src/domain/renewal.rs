//! Decides when the token in a target's Secret is renewed, and when the status says that it can't be.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::backoff::{Backoff, jittered};
use super::credential::Validity;
use super::reason::{Failure, Reason};

/// Annotation of a kubeconfig Secret: the lifetime of its token, such as `24h`. With it the operator renews the token.
pub const TOKEN_TTL: &str = "ksit.io/token-ttl";

/// Shortest lifetime of a token that API servers make.
pub const SHORTEST_TTL: Duration = Duration::from_secs(600);

/// Part of a token's lifetime after which it is renewed at the latest. The rest is for retries.
const RENEW_AT: f64 = 0.8;

/// Part of that time by which it may be renewed earlier, so that tokens made together are renewed apart: from two
/// thirds of the lifetime on.
const SPREAD: f64 = 1.0 / 6.0;

/// A target chooses the lifetime of its tokens. None makes the operator write its Secret more often than this.
const SHORTEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Pauses after failures.
const RETRY: Backoff = Backoff { first: Duration::from_secs(10), longest: Duration::from_secs(300), spread: 0.2 };

/// The renewal of one target's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Wanted lifetime of the next token.
    ttl: Duration,
    validity: Validity,
    due: Timestamp,
    /// Failed renewals in a row.
    failures: u32,
    failure: Option<Failure>,
}

impl Renewal {
    /// The renewal of a token that was just read from its Secret. `ttl`: the value of [`TOKEN_TTL`]. `jitter` is in
    /// 0.0..=1.0.
    ///
    /// # Errors
    /// The annotation can't be used, or the token states no end.
    pub fn new(ttl: &str, validity: Option<Validity>, jitter: f64) -> Result<Self, Failure> {
        let refused = |why: &str| Failure::new(Reason::RenewalFailed, why);
        let ttl = ttl.parse::<SignedDuration>().ok().and_then(|ttl| Duration::try_from(ttl).ok());
        let ttl = ttl.filter(|ttl| *ttl >= SHORTEST_TTL).ok_or_else(|| {
            refused("the annotation ksit.io/token-ttl of its Secret is not a duration of at least 10m, such as 24h")
        })?;
        let validity = validity.ok_or_else(|| {
            refused(
                "the kubeconfig has no token that states its end: remove the annotation ksit.io/token-ttl from its \
                 Secret, or run ksit target add --token-ttl",
            )
        })?;
        Ok(Self { ttl, validity, due: due(validity, ttl, jitter), failures: 0, failure: None })
    }

    /// Wanted lifetime of the next token.
    pub fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Time of the next attempt.
    pub fn due(&self) -> Timestamp {
        self.due
    }

    /// The token was replaced by one of this validity.
    pub fn succeeded(&mut self, validity: Validity, now: Timestamp, jitter: f64) {
        let earliest = now.saturating_add(SHORTEST_PAUSE).unwrap_or(Timestamp::MAX);
        let due = due(validity, self.ttl, jitter).max(earliest);
        *self = Self { ttl: self.ttl, validity, due, failures: 0, failure: None };
    }

    /// No new token could be made or stored.
    pub fn failed(&mut self, failure: Failure, now: Timestamp, jitter: f64) {
        self.due = now.saturating_add(RETRY.delay(self.failures, jitter)).unwrap_or(Timestamp::MAX);
        self.failures = self.failures.saturating_add(1);
        self.failure = Some(failure);
    }

    /// The cause for the status, if a renewal has failed and somebody has to do something: at once, or for a fault that
    /// may pass, in the last tenth of the lifetime.
    pub fn complaint(&self, now: Timestamp) -> Option<&Failure> {
        self.failure.as_ref().filter(|failure| !failure.reason.is_transient() || self.validity.ends_soon(now))
    }
}

fn due(validity: Validity, ttl: Duration, jitter: f64) -> Timestamp {
    let ttl = SignedDuration::try_from(ttl).unwrap_or(SignedDuration::MAX);
    let life = validity.from.map_or(ttl, |from| validity.until.duration_since(from));
    let life = Duration::try_from(life).unwrap_or_default();
    let left = life.saturating_sub(jittered(life.mul_f64(RENEW_AT), SPREAD, jitter));
    validity.until.saturating_sub(left).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A token of an hour, made at 0.
    const HOUR: Validity = Validity { from: Some(Timestamp::UNIX_EPOCH), until: Timestamp::constant(3600, 0) };

    fn renewal(jitter: f64) -> Renewal {
        Renewal::new("1h", Some(HOUR), jitter).unwrap()
    }

    #[test]
    fn token_is_renewed_after_two_thirds_of_its_life_or_later() {
        assert_eq!([0.0, 1.0].map(|jitter| renewal(jitter).due()), [at(2880), at(2400)]);
        let unknown = Validity { from: None, ..HOUR };
        assert_eq!(Renewal::new("30m", Some(unknown), 0.0).unwrap().due(), at(3240), "the wanted lifetime counts");
    }

    #[test]
    fn failures_back_off_until_one_succeeds() {
        let mut renewal = renewal(0.0);
        let failure = || Failure::new(Reason::TimedOut, "late");
        let pauses = [10, 20, 40, 80, 160, 300, 300].map(|pause| {
            renewal.failed(failure(), at(3000), 0.0);
            (renewal.due(), at(3000 + pause))
        });
        assert!(pauses.iter().all(|(due, wanted)| due == wanted), "{pauses:?}");
        renewal.succeeded(Validity { from: Some(at(3000)), until: at(6600) }, at(3000), 0.0);
        assert_eq!((renewal.due(), renewal.complaint(at(3001))), (at(5880), None));
    }

    #[test]
    fn complaint_comes_at_once_or_shortly_before_the_end() {
        let mut passing = renewal(0.0);
        passing.failed(Failure::new(Reason::TimedOut, "late"), at(2900), 0.0);
        assert_eq!([2900, 3300].map(|now| passing.complaint(at(now)).is_some()), [false, true]);
        let mut lasting = renewal(0.0);
        lasting.failed(Failure::new(Reason::RenewalFailed, "may not"), at(2900), 0.0);
        assert!(lasting.complaint(at(2900)).is_some());
    }

    /// A target that grants a second must not have its Secret written every second.
    #[test]
    fn short_tokens_are_not_renewed_without_pause() {
        let mut renewal = renewal(0.0);
        renewal.succeeded(Validity { from: Some(at(0)), until: at(5000) }, at(4999), 0.0);
        assert_eq!(renewal.due(), at(5059));
        for extreme in [Timestamp::MIN, Timestamp::MAX] {
            renewal.succeeded(Validity { from: Some(extreme), until: extreme }, extreme, 1.0);
            renewal.failed(Failure::new(Reason::TimedOut, ""), extreme, 1.0);
        }
    }

    #[test]
    fn unusable_annotation_says_what_to_do() {
        for (ttl, validity, words) in [
            ("9m", Some(HOUR), "not a duration of at least 10m"),
            ("-1h", Some(HOUR), "not a duration of at least 10m"),
            ("soon", Some(HOUR), "not a duration of at least 10m"),
            ("24h", None, "states its end"),
        ] {
            let message = Renewal::new(ttl, validity, 0.0).unwrap_err().message;
            assert!(message.contains(words), "{ttl}: {message}");
        }
    }
}
