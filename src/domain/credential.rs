//! Decides whether the credential of a target is about to expire.

use jiff::{SignedDuration, Timestamp};

/// A credential with more time left is not about to expire.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The validity that a credential states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    pub from: Option<Timestamp>,
    pub until: Timestamp,
}

impl Validity {
    /// Less than a week is left, and less than a tenth of its lifetime: one renewed every hour never ends soon.
    pub fn ends_soon(&self, now: Timestamp) -> bool {
        let left = self.until.duration_since(now);
        let tenth = self.from.map_or(WEEK, |from| self.until.duration_since(from) / 10);
        left < WEEK.min(tenth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    #[test]
    fn credential_ends_soon_in_its_last_week_and_tenth() {
        let year = Validity { from: Some(day(0)), until: day(365) };
        assert_eq!([0, 357, 359, 365, 400].map(|now| year.ends_soon(day(now))), [false, false, true, true, true]);
        let of_ten_days = Validity { from: Some(day(0)), until: day(10) };
        assert_eq!([0, 8, 9, 10].map(|now| of_ten_days.ends_soon(day(now))), [false, false, false, true]);
        let unknown = Validity { from: None, until: day(365) };
        assert_eq!([0, 359].map(|now| unknown.ends_soon(day(now))), [false, true]);
    }

    #[test]
    fn invalid_times_do_not_panic() {
        let backwards = Validity { from: Some(Timestamp::MAX), until: Timestamp::MIN };
        assert!(backwards.ends_soon(day(0)));
        assert!(!Validity { from: Some(Timestamp::MIN), until: Timestamp::MAX }.ends_soon(day(0)));
    }
}
