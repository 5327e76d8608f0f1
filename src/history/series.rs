//! Finds what is new in a status, compared with what is recorded.

use super::observation::{Change, Seen};

/// The phase of time that nobody recorded.
pub(super) const UNKNOWN: &str = "Unknown";

/// Reason of such a phase.
pub(super) const NOT_RECORDED: &str = "NotRecorded";

/// The last recorded change of a tool or cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Last {
    /// Unix milliseconds; each change is later than the one before, also if a clock went back.
    pub at: i64,
    /// The time that the status gave.
    pub stamp: i64,
    pub phase: String,
}

/// A change to record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct New {
    pub at: i64,
    pub stamp: i64,
    pub phase: String,
    pub reason: String,
}

/// The changes in `seen` that are not recorded. `recorded_until`: until then every change was recorded. `is_full`: the
/// status has no room for earlier changes.
pub(super) fn new_changes(last: Option<&Last>, seen: &Seen, is_full: bool, recorded_until: i64) -> Vec<New> {
    let mut found: Vec<New> = Vec::new();
    let (mut at, mut phase) = match last {
        Some(last) => (last.at, last.phase.clone()),
        None => (i64::MIN, String::new()),
    };
    // A status lists the changes in their order, whatever its clock said.
    let known = last
        .and_then(|last| seen.changes.iter().rposition(|change| change.stamp == last.stamp && change.to == last.phase));
    let fresh = &seen.changes[known.map_or(0, |place| place + 1)..];
    if let (Some(_), Some(first)) = (last, fresh.first()) {
        let is_missing = first.from.as_ref() != Some(&phase) || known.is_none() && is_full;
        let since = recorded_until.max(at.saturating_add(1));
        if is_missing && since < first.stamp {
            (at, phase) = (since, UNKNOWN.to_owned());
            found.push(New { at, stamp: since, phase: phase.clone(), reason: NOT_RECORDED.to_owned() });
        }
    }
    let mut add = |change: &Change| {
        if change.to != phase {
            at = change.stamp.max(at.saturating_add(1));
            phase.clone_from(&change.to);
            let (phase, reason) = (change.to.clone(), change.reason.clone());
            found.push(New { at, stamp: change.stamp, phase, reason });
        }
    };
    fresh.iter().for_each(&mut add);
    add(&seen.now);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(stamp: i64, from: &str, to: &str) -> Change {
        let from = Some(from.to_owned()).filter(|from| !from.is_empty());
        Change { stamp, from, to: to.to_owned(), reason: "R".to_owned() }
    }

    fn seen(changes: &[(i64, &str, &str)], now: (i64, &str)) -> Seen {
        let changes = changes.iter().map(|(stamp, from, to)| change(*stamp, from, to)).collect();
        let (integration, type_) = ("argocd".to_owned(), "argocd".to_owned());
        Seen { integration, type_, now: change(now.0, "", now.1), changes, maintenance: None }
    }

    fn last(at: i64, phase: &str) -> Last {
        Last { at, stamp: at, phase: phase.to_owned() }
    }

    fn found(last: Option<&Last>, seen: &Seen, is_full: bool, recorded_until: i64) -> Vec<(i64, String)> {
        new_changes(last, seen, is_full, recorded_until).into_iter().map(|new| (new.at, new.phase)).collect()
    }

    fn rows(rows: &[(i64, &str)]) -> Vec<(i64, String)> {
        rows.iter().map(|(at, phase)| (*at, (*phase).to_owned())).collect()
    }

    #[test]
    fn first_sight_takes_what_the_status_has() {
        let status = seen(&[(10, "Running", "Failed"), (20, "Failed", "Running")], (20, "Running"));
        assert_eq!(found(None, &status, false, 0), rows(&[(10, "Failed"), (20, "Running")]));
        assert_eq!(found(None, &seen(&[], (5, "Running")), false, 0), rows(&[(5, "Running")]));
    }

    #[test]
    fn recorded_changes_are_not_taken_again() {
        let status = seen(&[(10, "Running", "Failed"), (20, "Failed", "Running")], (20, "Running"));
        assert_eq!(found(Some(&last(20, "Running")), &status, false, 25), []);
        assert_eq!(found(Some(&last(10, "Failed")), &status, false, 15), rows(&[(20, "Running")]));
        // The last one is no longer in the status, and nothing has changed since.
        assert_eq!(found(Some(&last(7, "Running")), &seen(&[], (7, "Running")), true, 25), []);
    }

    #[test]
    fn missed_changes_are_unknown() {
        let status = seen(&[(100, "Running", "Failed")], (100, "Failed"));
        assert_eq!(found(Some(&last(10, "Failed")), &status, false, 50), rows(&[(50, "Unknown"), (100, "Failed")]));
        assert_eq!(found(Some(&last(10, "Running")), &status, true, 50), rows(&[(50, "Unknown"), (100, "Failed")]));
        assert_eq!(found(Some(&last(10, "Running")), &status, false, 50), rows(&[(100, "Failed")]));
        // Everything was seen until now: a quiet tool of a noisy cluster.
        assert_eq!(found(Some(&last(10, "Running")), &status, true, 100), rows(&[(100, "Failed")]));
    }

    #[test]
    fn clock_that_goes_back_loses_no_change() {
        let status =
            seen(&[(100, "Running", "Failed"), (40, "Failed", "Running"), (50, "Running", "Failed")], (50, "Failed"));
        assert_eq!(found(Some(&last(100, "Failed")), &status, false, 120), rows(&[(101, "Running"), (102, "Failed")]));
    }
}
