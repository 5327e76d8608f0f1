//! How long something was up and down in a period.

use std::ops::AddAssign;

use super::verdict::Phase;

/// The meaning of a phase for availability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works.
    Up,
    /// It is broken, or the cluster can't be read.
    Down,
    /// Nobody has looked, or nobody has recorded it.
    Unknown,
    /// Not checked, not installed, or not there.
    NotCounted,
}

impl Standing {
    /// The standing of a phase as statuses spell it; an empty one means that there is no such tool or cluster.
    pub fn of(phase: &str) -> Self {
        match Phase::read(phase) {
            Some(Phase::Running | Phase::Degraded) => Self::Up,
            Some(Phase::Failed) => Self::Down,
            Some(Phase::Unknown | Phase::Other(_)) => Self::Unknown,
            Some(Phase::Initializing | Phase::Paused | Phase::NotInstalled) | None => Self::NotCounted,
        }
    }
}

/// Milliseconds in each standing. Time in maintenance counts as nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spans {
    /// Time in which it worked.
    pub up: i64,
    /// Time in which it was broken.
    pub down: i64,
    /// Time of which nothing is known.
    pub unknown: i64,
    /// Time in a maintenance window.
    pub maintenance: i64,
}

impl Spans {
    /// The share of the time in which it worked, from 0 to 1; `None` if it was never known.
    pub fn availability(&self) -> Option<f64> {
        let known = self.up + self.down;
        (known > 0).then(|| self.up as f64 / known as f64)
    }

    fn add(&mut self, standing: Standing, span: i64) {
        match standing {
            Standing::Up => self.up += span,
            Standing::Down => self.down += span,
            Standing::Unknown => self.unknown += span,
            Standing::NotCounted => {}
        }
    }
}

impl AddAssign for Spans {
    fn add_assign(&mut self, other: Self) {
        self.up += other.up;
        self.down += other.down;
        self.unknown += other.unknown;
        self.maintenance += other.maintenance;
    }
}

/// Adds up the time from `period.0` to `period.1`, all times in Unix milliseconds. `changes` are in order, and each holds
/// until the next; one before the period holds at its start. `maintenance`: windows, in order and apart.
pub fn spans(changes: &[(i64, Standing)], maintenance: &[(i64, i64)], period: (i64, i64)) -> Spans {
    let mut found = Spans::default();
    for (place, (from, standing)) in changes.iter().enumerate() {
        let until = changes.get(place + 1).map_or(period.1, |(next, _)| *next);
        let (from, until) = ((*from).max(period.0), until.min(period.1));
        if from >= until {
            continue;
        }
        let in_window: i64 =
            maintenance.iter().map(|(begin, end)| ((*end).min(until) - (*begin).max(from)).max(0)).sum();
        if *standing != Standing::NotCounted {
            found.maintenance += in_window;
        }
        found.add(*standing, until - from - in_window);
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn time_is_counted_by_phase() {
        let changes =
            [(0, "Running"), (100, "Failed"), (150, "Degraded"), (200, "Unknown"), (300, ""), (400, "Running")];
        let changes = changes.map(|(at, phase)| (at, Standing::of(phase)));
        let found = spans(&changes, &[], (50, 500));
        assert_eq!(found, Spans { up: 50 + 50 + 100, down: 50, unknown: 100, maintenance: 0 });
        assert_eq!(found.availability(), Some(0.8));
        let planned = spans(&changes, &[(90, 160)], (50, 500));
        assert_eq!(planned, Spans { up: 40 + 40 + 100, down: 0, unknown: 100, maintenance: 70 });
        assert_eq!(spans(&[], &[], (0, 10)).availability(), None);
        assert_eq!(spans(&changes, &[], (1_000, 1_000)), Spans::default());
    }

    proptest! {
        #[test]
        fn no_time_is_lost_or_counted_twice(
            mut times in prop::collection::vec(0_i64..1_000, 1..20),
            cut in 0_i64..1_000,
        ) {
            times.sort_unstable();
            let phases = ["Running", "Failed", "Unknown"];
            let changes: Vec<(i64, Standing)> =
                times.iter().enumerate().map(|(place, at)| (*at, Standing::of(phases[place % 3]))).collect();
            let all = spans(&changes, &[(200, 300)], (0, 1_000));
            let mut parts = spans(&changes, &[(200, 300)], (0, cut));
            parts += spans(&changes, &[(200, 300)], (cut, 1_000));
            prop_assert_eq!(all, parts);
            prop_assert_eq!(all.up + all.down + all.unknown + all.maintenance, 1_000 - times[0]);
        }
    }
}
