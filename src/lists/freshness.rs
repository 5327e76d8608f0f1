//! Computes the age of a ShardMap's status from its last write: without a live replica, nobody else can.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::api::ShardMapStatus;
use crate::domain::escape::escape;

/// Rounds without a write after which the status is stale: a change of the coordinator takes up to two.
const ROUNDS: u32 = 3;

/// The operator's default, for statuses from versions that did not record theirs.
const DEFAULT_ROUND: Duration = Duration::from_secs(30);

/// With shorter rounds, a busy coordinator must not look dead.
const SHORTEST_THRESHOLD: Duration = Duration::from_secs(10);

/// Time and age of a coordinator's last write.
#[derive(Clone, Debug)]
pub struct Freshness {
    /// RFC 3339 time of the coordinator's last write.
    pub observed_at: Option<String>,
    /// Time since then.
    pub age: Option<Duration>,
    threshold: Duration,
}

impl Freshness {
    /// Reads the status of a ShardMap at `now`, the hub's time.
    pub fn of(status: &ShardMapStatus, now: Timestamp) -> Self {
        let observed = status.observed_at.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
        let round = status.round_seconds.map_or(DEFAULT_ROUND, |seconds| Duration::from_secs(seconds.into()));
        Self {
            observed_at: status.observed_at.clone(),
            // This machine's clock may be behind the hub's.
            age: observed.map(|at| Duration::try_from(now.duration_since(at)).unwrap_or_default()),
            threshold: round.saturating_mul(ROUNDS).max(SHORTEST_THRESHOLD),
        }
    }

    /// Whether no coordinator has written for three rounds.
    pub fn is_stale(&self) -> bool {
        self.age.is_none_or(|age| age > self.threshold)
    }

    /// Like [`Self::words`], but the same as long as the statuses are stale.
    pub fn words_without_age(&self) -> String {
        match &self.observed_at {
            Some(at) if self.is_stale() => format!("no coordinator has written since {}", escape(at)),
            _ => self.words(),
        }
    }

    /// `as of …` while fresh, else the time since which no coordinator has written.
    pub fn words(&self) -> String {
        let at = self.observed_at.as_deref().map(escape);
        match (at, self.age) {
            (Some(at), Some(age)) if self.is_stale() => {
                let ago = SignedDuration::from_secs(i64::try_from(age.as_secs()).unwrap_or(i64::MAX));
                format!("no coordinator has written since {at} ({ago:#} ago)")
            }
            (Some(at), Some(_)) => format!("as of {at}"),
            _ => "no coordinator has published yet how fresh this is".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn freshness(observed_at: Option<&str>, round_seconds: Option<u32>) -> Freshness {
        let observed_at = observed_at.map(str::to_owned);
        let status = ShardMapStatus { observed_at, round_seconds, ..ShardMapStatus::default() };
        Freshness::of(&status, "2026-01-01T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn age_counts_from_the_last_write() {
        let fresh = freshness(Some("2026-01-01T11:58:30Z"), None);
        assert_eq!((fresh.age, fresh.is_stale()), (Some(Duration::from_secs(90)), false));
        assert_eq!(fresh.words(), "as of 2026-01-01T11:58:30Z");
        let stale = freshness(Some("2026-01-01T11:58:29Z"), None);
        assert_eq!(stale.words(), "no coordinator has written since 2026-01-01T11:58:29Z (1m 31s ago)");
        assert!(freshness(Some("2026-01-01T11:59:44Z"), Some(5)).is_stale());
        assert!(!freshness(Some("2026-01-01T11:50:00Z"), Some(300)).is_stale(), "rounds may be long");
    }

    #[test]
    fn status_without_a_valid_time_is_stale() {
        for text in [None, Some("yesterday")] {
            assert!(freshness(text, None).is_stale());
        }
    }

    #[test]
    fn clock_behind_the_hub_counts_as_age_zero() {
        assert_eq!(freshness(Some("2026-01-01T12:05:00Z"), None).age, Some(Duration::ZERO));
    }
}
