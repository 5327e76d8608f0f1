//! When a window is open: once, or by a cron expression in a time zone.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, Zoned};

/// Times that a window covers.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// From one time, inclusive, to another, exclusive.
    Once {
        /// The start.
        from: Timestamp,
        /// The end.
        until: Timestamp,
    },
    /// Again and again.
    Recurring(Box<Schedule>),
}

/// Starts by a cron expression, each with the same duration.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    duration: Duration,
}

impl When {
    /// End of the window that is open at this time; `None` if none is.
    pub fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => (*from <= now && now < *until).then_some(*until),
            Self::Recurring(schedule) => schedule.open_until(now),
        }
    }

    /// Time at which [`Self::open_until`] gives another answer; `None` if that is never.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Once { from, until } => [*from, *until].into_iter().find(|time| now < *time),
            Self::Recurring(schedule) => schedule.open_until(now).into_iter().chain(schedule.next_start(now)).min(),
        }
    }
}

impl Schedule {
    /// Reads a cron expression of five fields and the name of a time zone, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// A sentence that names the field.
    pub fn parse(cron: &str, zone: &str, duration: Duration, now: Timestamp) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let read = parser.parse(cron).map_err(|error| {
            format!("spec.schedule: {cron:?} is no cron expression such as \"30 2 * * SUN\": {error}")
        })?;
        let zone = TimeZoneDatabase::bundled()
            .get(zone)
            .map_err(|_| format!("spec.timeZone: there is no time zone {zone:?}; write one such as Europe/Berlin"))?;
        let schedule = Self { cron: read, zone, duration };
        match schedule.next_start(now) {
            Some(_) => Ok(schedule),
            None => Err(format!("spec.schedule: {cron:?} never occurs")),
        }
    }

    fn open_until(&self, now: Timestamp) -> Option<Timestamp> {
        let start: Zoned = self.cron.find_previous_occurrence(&self.at(now), true).ok()?;
        let until = start.timestamp().checked_add(self.duration).ok()?;
        (now < until).then_some(until)
    }

    fn next_start(&self, now: Timestamp) -> Option<Timestamp> {
        Some(self.cron.find_next_occurrence(&self.at(now), false).ok()?.timestamp())
    }

    fn at(&self, now: Timestamp) -> Zoned {
        now.to_zoned(self.zone.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn recurring(cron: &str, zone: &str, minutes: u64) -> When {
        let duration = Duration::from_secs(minutes * 60);
        When::Recurring(Box::new(Schedule::parse(cron, zone, duration, time("2026-01-01T00:00:00Z")).unwrap()))
    }

    /// The open intervals of a day, by asking every minute.
    fn open_on(when: &When, day: &str) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for minute in 0..24 * 60 {
            let now = time(&format!("{day}T00:00:00Z")) + Duration::from_secs(minute * 60);
            if let Some(until) = when.open_until(now) {
                let until = until.to_string();
                if found.last().is_none_or(|(_, last)| *last != until) {
                    found.push((now.to_string(), until));
                }
            }
        }
        found
    }

    fn one(from: &str, until: &str) -> Vec<(String, String)> {
        vec![(from.to_owned(), until.to_owned())]
    }

    /// Clocks in Berlin go from 02:00 CET to 03:00 CEST on 2026-03-29, and from 03:00 CEST to 02:00 CET on 2026-10-25.
    #[test]
    fn window_at_0230_occurs_once_on_both_days_of_a_clock_change() {
        let when = recurring("30 2 * * *", "Europe/Berlin", 60);
        assert_eq!(open_on(&when, "2026-03-28"), one("2026-03-28T01:30:00Z", "2026-03-28T02:30:00Z"));
        // 02:30 does not exist: the window starts when the gap ends, at 03:00 CEST.
        assert_eq!(open_on(&when, "2026-03-29"), one("2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"));
        assert_eq!(open_on(&when, "2026-03-30"), one("2026-03-30T00:30:00Z", "2026-03-30T01:30:00Z"));
        // 02:30 occurs twice: the window starts at the first, in CEST, and lasts an hour.
        assert_eq!(open_on(&when, "2026-10-25"), one("2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"));
        assert_eq!(open_on(&when, "2026-10-26"), one("2026-10-26T01:30:00Z", "2026-10-26T02:30:00Z"));
    }

    #[test]
    fn window_across_a_clock_change_lasts_as_long_as_any() {
        let when = recurring("0 1 * * *", "Europe/Berlin", 180);
        assert_eq!(open_on(&when, "2026-03-29")[..1], one("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"));
        let night = when.open_until(time("2026-10-25T00:30:00Z"));
        assert_eq!(night, Some(time("2026-10-25T02:00:00Z")), "from 01:00 CEST, three hours");
    }

    #[test]
    fn end_is_the_same_throughout_a_window() {
        let when = recurring("30 2 * * SUN", "Europe/Berlin", 90);
        let sunday = time("2026-06-07T00:30:00Z");
        let ends: std::collections::BTreeSet<_> =
            (0..90 * 60).map(|second| when.open_until(sunday + Duration::from_secs(second))).collect();
        assert_eq!(ends, [Some(time("2026-06-07T02:00:00Z"))].into());
        assert_eq!(when.open_until(sunday + Duration::from_secs(90 * 60)), None, "the end is exclusive");
        assert_eq!(when.open_until(sunday - Duration::from_secs(1)), None);
    }

    #[test]
    fn next_change_is_a_start_or_an_end() {
        let when = recurring("30 2 * * *", "Europe/Berlin", 60);
        let changes = |from: &str| when.next_change(time(from)).unwrap().to_string();
        assert_eq!(changes("2026-03-29T00:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(changes("2026-03-29T01:00:00Z"), "2026-03-29T02:00:00Z");
        assert_eq!(changes("2026-03-29T02:00:00Z"), "2026-03-30T00:30:00Z");
        let once = When::Once { from: time("2026-03-29T01:00:00Z"), until: time("2026-03-29T02:00:00Z") };
        let of = |at: &str| once.next_change(time(at)).map(|time| time.to_string());
        assert_eq!(of("2026-03-29T00:00:00Z").as_deref(), Some("2026-03-29T01:00:00Z"));
        assert_eq!(of("2026-03-29T01:00:00Z").as_deref(), Some("2026-03-29T02:00:00Z"));
        assert_eq!(of("2026-03-29T02:00:00Z"), None);
        assert_eq!(once.open_until(time("2026-03-29T01:59:59Z")), Some(time("2026-03-29T02:00:00Z")));
    }

    /// A later start of the same schedule extends the window.
    #[test]
    fn starts_closer_than_the_duration_overlap() {
        let when = recurring("0 * * * *", "UTC", 90);
        assert_eq!(when.open_until(time("2026-06-07T10:59:59Z")), Some(time("2026-06-07T11:30:00Z")));
        assert_eq!(when.open_until(time("2026-06-07T11:00:00Z")), Some(time("2026-06-07T12:30:00Z")));
    }

    #[test]
    fn faults_name_the_field() {
        let error = |cron: &str, zone: &str| {
            Schedule::parse(cron, zone, Duration::from_secs(60), time("2026-01-01T00:00:00Z")).unwrap_err()
        };
        for cron in ["", "* * * *", "61 * * * *", "0 30 2 * * *", "a b c d e", "@reboot"] {
            assert!(error(cron, "UTC").starts_with("spec.schedule: "), "{cron}");
        }
        assert!(error("0 0 30 2 *", "UTC").ends_with("never occurs"), "{}", error("0 0 30 2 *", "UTC"));
        for zone in ["", "Berlin", "Mars/Olympus", "../etc/passwd"] {
            assert!(error("0 0 * * *", zone).starts_with("spec.timeZone: "), "{zone}");
        }
    }
}
