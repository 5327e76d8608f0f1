//! The objects of a list by state, and the names of those that fail.

use jiff::Timestamp;

use super::rules::State;
use crate::domain::object_names::place;

/// Failing objects that are named for one kind.
pub const MAX_WORST: usize = 10;

/// The objects of a list by state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All objects.
    pub total: u32,
    /// Objects on their way.
    pub progressing: u32,
    /// Objects that their users have paused.
    pub suspended: u32,
    /// Objects that do not do their job.
    pub failing: u32,
    /// Objects whose rules can't be evaluated.
    pub unknown: u32,
    /// At most [`MAX_WORST`] failing or unknown objects, by namespace and name.
    pub worst: Vec<FailingObject>,
}

/// An object that fails, or whose rules do.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailingObject {
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// In the form of a condition's reason.
    pub reason: Option<String>,
    /// Time since which it fails, if it is known.
    pub since: Option<Timestamp>,
}

impl FailingObject {
    /// Namespace and name, or the name alone if it is cluster-scoped.
    pub fn place(&self) -> String {
        place(&self.namespace, &self.name)
    }
}

/// The managed objects of one kind on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceSummary {
    /// Such as `Application`.
    pub kind: String,
    /// How many there are.
    pub counts: Counts,
    /// Why they are not all counted, and what to do.
    pub message: Option<String>,
}

impl ResourceSummary {
    /// The same without the names of failing objects, which are most of its size.
    pub fn without_names(&self) -> Self {
        let Self { kind, counts, message } = self;
        let counts = Counts { worst: Vec::new(), ..*counts };
        Self { kind: kind.clone(), counts, message: message.clone() }
    }
}

impl Counts {
    /// The count of a state other than healthy.
    pub fn of_mut(&mut self, state: State) -> Option<&mut u32> {
        match state {
            State::Healthy => None,
            State::Progressing => Some(&mut self.progressing),
            State::Suspended => Some(&mut self.suspended),
            State::Failing => Some(&mut self.failing),
            State::Unknown => Some(&mut self.unknown),
        }
    }

    /// The number of healthy objects.
    pub fn healthy(&self) -> u32 {
        let Self { total, progressing, suspended, failing, unknown, worst: _ } = self;
        [progressing, suspended, failing, unknown].into_iter().fold(*total, |rest, count| rest.saturating_sub(*count))
    }

    /// Adds the objects of another list.
    pub(super) fn merge(&mut self, other: &Self) {
        self.change(other, u32::saturating_add);
        self.worst.extend(other.worst.iter().cloned());
        self.worst.sort();
        self.worst.truncate(MAX_WORST);
    }

    /// Adds or takes back each number of another list; the names stay.
    pub(super) fn change(&mut self, by: &Self, change: fn(u32, u32) -> u32) {
        let Self { total, progressing, suspended, failing, unknown, worst: _ } = self;
        for (sum, count) in [
            (total, by.total),
            (progressing, by.progressing),
            (suspended, by.suspended),
            (failing, by.failing),
            (unknown, by.unknown),
        ] {
            *sum = change(*sum, count);
        }
    }

    /// Whether both have the same failing objects: other counts change all the time.
    fn fails_alike(&self, other: &Self) -> bool {
        (self.failing, self.unknown, &self.worst) == (other.failing, other.unknown, &other.worst)
    }
}

/// Keeps the last counts of a tool's managed objects where the same objects fail: healthy ones come and go all the time,
/// and each change of a count would be a write on the hub. Returns whether any count was kept back.
pub fn hold_counts(new: &mut [ResourceSummary], last: &[ResourceSummary]) -> bool {
    let same_kinds = new.len() == last.len() && new.iter().zip(last).all(|(new, last)| new.kind == last.kind);
    let fails_alike = |(new, last): (&ResourceSummary, &ResourceSummary)| {
        let is_first = last.counts.total == 0 && new.counts.total > 0;
        new.message == last.message && !is_first && new.counts.fails_alike(&last.counts)
    };
    if !same_kinds || !new.iter().zip(last).all(fails_alike) {
        return false;
    }
    let mut is_held = false;
    for (new, last) in new.iter_mut().zip(last) {
        is_held |= new.counts != last.counts;
        new.counts = last.counts.clone();
    }
    is_held
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(total: u32, failing: u32) -> ResourceSummary {
        let object = |number: u32| FailingObject {
            namespace: "team".to_owned(),
            name: number.to_string(),
            reason: None,
            since: None,
        };
        let counts = Counts { total, failing, worst: (0..failing).map(object).collect(), ..Counts::default() };
        ResourceSummary { kind: "Application".to_owned(), counts, message: None }
    }

    #[test]
    fn counts_are_held_back_while_the_same_objects_fail() {
        let mut same = vec![summary(6, 2)];
        assert!(hold_counts(&mut same, &[summary(5, 2)]));
        assert_eq!(same, [summary(5, 2)]);
        assert!(!hold_counts(&mut same, &[summary(5, 2)]), "nothing changed");
        let mut other = vec![summary(6, 3)];
        assert!(!hold_counts(&mut other, &[summary(5, 2)]));
        assert_eq!(other, [summary(6, 3)]);
        for last in [vec![], vec![summary(0, 0)]] {
            let mut first = vec![summary(6, 0)];
            assert!(!hold_counts(&mut first, &last));
            assert_eq!(first, [summary(6, 0)]);
        }
    }
}
