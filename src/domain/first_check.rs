//! Which targets a replica was reading for the first time when it died.
//!
//! ```text
//! a first check begins ─> marked on the replica's own Lease ─> read ─> the mark is taken off
//! a Lease that nobody gave back, with marks on it ─> those targets are suspects: read one at a time
//! present at two deaths ─> quarantined, so that a poisonous target doesn't walk from replica to replica
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::keys::TargetKey;

/// Deaths after which a target is left alone.
const QUARANTINED_AT: usize = 2;

/// A death counts for so long, in seconds. Then a quarantined target is tried again.
const COUNTS_FOR: i64 = 3600;

/// Words that a Lease may hold, far below what the hub takes of an annotation.
const MOST_WORDS: usize = 1024;

/// What a replica's Lease says. As text: words, `namespace/name` for each target in its first check, and
/// `namespace/name=seconds,seconds` for each that was present at deaths, with when those were, in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    in_check: BTreeSet<TargetKey>,
    deaths: BTreeMap<TargetKey, BTreeSet<i64>>,
}

/// What is thought of a target that is to be read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    None,
    /// Present at one death: to be read while no other is.
    Suspect,
    /// To be left alone for so many seconds.
    Quarantined {
        seconds: u32,
    },
}

impl Marks {
    /// Of a text that anybody may have written: what can't be read is skipped.
    pub fn parse(text: &str) -> Self {
        let mut marks = Self::default();
        for word in text.split_ascii_whitespace().take(MOST_WORDS) {
            let (target, deaths) = match word.split_once('=') {
                Some((target, deaths)) => (target, Some(deaths)),
                None => (word, None),
            };
            let Some((namespace, name)) = target.split_once('/') else { continue };
            let target = TargetKey::new(namespace, name);
            match deaths {
                None => drop(marks.in_check.insert(target)),
                Some(deaths) => {
                    let times = deaths.split(',').filter_map(|time| time.parse::<i64>().ok()).take(QUARANTINED_AT);
                    marks.deaths.entry(target).or_default().extend(times);
                }
            }
        }
        marks
    }

    pub fn begin(&mut self, target: TargetKey) {
        self.in_check.insert(target);
    }

    pub fn end(&mut self, target: &TargetKey) {
        self.in_check.remove(target);
    }

    pub fn is_any_in_check(&self) -> bool {
        !self.in_check.is_empty()
    }

    /// What is left of them when their replica gives its Lease back.
    #[must_use]
    pub fn given_back(mut self) -> Self {
        self.in_check.clear();
        self
    }

    /// What follows when their replica died without giving its Lease back, as was seen at `now`.
    #[must_use]
    pub fn after_death(mut self, now: i64) -> Self {
        for target in std::mem::take(&mut self.in_check) {
            self.deaths.entry(target).or_default().insert(now);
        }
        self
    }

    /// Takes the deaths over that another process of this replica left.
    pub fn inherit(&mut self, former: Self) {
        former.deaths.into_iter().for_each(|(target, deaths)| self.deaths.entry(target).or_default().extend(deaths));
    }

    /// Drops deaths that don't count any more.
    pub fn forget(&mut self, now: i64) {
        self.deaths.retain(|_, deaths| {
            deaths.retain(|death| counts(*death, now));
            !deaths.is_empty()
        });
    }

    pub fn deaths(&self, target: &TargetKey) -> impl Iterator<Item = i64> + '_ {
        self.deaths.get(target).into_iter().flatten().copied()
    }
}

/// Judges a target by all deaths that any Lease tells of.
pub fn suspicion(deaths: impl IntoIterator<Item = i64>, now: i64) -> Suspicion {
    let mut deaths: Vec<i64> = deaths.into_iter().filter(|death| counts(*death, now)).collect();
    deaths.sort_unstable();
    if deaths.is_empty() {
        return Suspicion::None;
    }
    // The quarantine ends when the death that makes it enough counts no more.
    match deaths.len().checked_sub(QUARANTINED_AT).map(|index| deaths[index] + COUNTS_FOR - now) {
        None => Suspicion::Suspect,
        Some(left) => Suspicion::Quarantined { seconds: u32::try_from(left).unwrap_or_default() },
    }
}

/// A time in the future is of a clock that is ahead, or made up.
fn counts(death: i64, now: i64) -> bool {
    (now - COUNTS_FOR..=now + COUNTS_FOR).contains(&death)
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for target in self.in_check.iter().take(MOST_WORDS / 2) {
            write!(f, "{space}{target}")?;
            space = " ";
        }
        for (target, deaths) in self.deaths.iter().take(MOST_WORDS / 2) {
            write!(f, "{space}{target}=")?;
            let mut comma = "";
            for death in deaths.iter().rev().take(QUARANTINED_AT) {
                write!(f, "{comma}{death}")?;
                comma = ",";
            }
            space = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_764_000_000;

    fn target(name: &str) -> TargetKey {
        TargetKey::new("fleet", name)
    }

    fn judge(marks: &Marks, name: &str, now: i64) -> Suspicion {
        suspicion(marks.deaths(&target(name)), now)
    }

    #[test]
    fn only_who_was_being_read_is_suspected_of_a_death() {
        let mut marks = Marks::default();
        marks.begin(target("a"));
        marks.begin(target("b"));
        marks.end(&target("b"));
        let died = marks.clone().after_death(NOW);
        assert_eq!((judge(&died, "a", NOW), judge(&died, "b", NOW)), (Suspicion::Suspect, Suspicion::None));
        assert_eq!(judge(&marks.given_back(), "a", NOW), Suspicion::None);
    }

    #[test]
    fn two_deaths_are_one_too_many_wherever_they_were() {
        let mut once = Marks::default();
        once.begin(target("a"));
        let (here, there) = (once.clone().after_death(NOW - 60), once.after_death(NOW));
        let all = here.deaths(&target("a")).chain(there.deaths(&target("a")));
        assert_eq!(suspicion(all, NOW), Suspicion::Quarantined { seconds: 3540 });
        let mut again = here;
        again.begin(target("a"));
        assert_eq!(judge(&again.after_death(NOW), "a", NOW), Suspicion::Quarantined { seconds: 3540 });
    }

    #[test]
    fn a_quarantine_ends_and_a_suspicion_too() {
        let marks = Marks::parse(&format!("fleet/a={NOW},{}", NOW - 600));
        assert_eq!(judge(&marks, "a", NOW), Suspicion::Quarantined { seconds: 3000 });
        assert_eq!(judge(&marks, "a", NOW + 3001), Suspicion::Suspect);
        assert_eq!(judge(&marks, "a", NOW + 3601), Suspicion::None);
        assert_eq!(judge(&marks, "a", NOW - 7200), Suspicion::None, "a clock far ahead condemns nobody");
        let mut later = marks;
        later.forget(NOW + 3601);
        assert_eq!(later, Marks::default());
    }

    #[test]
    fn marks_are_read_back_and_nonsense_is_skipped() {
        let mut marks = Marks::parse("fleet/a fleet/b=17,18 nonsense =5 fleet/c=x / ");
        marks.forget(17);
        assert_eq!(marks.to_string(), "/ fleet/a fleet/b=18,17");
        assert_eq!(Marks::parse(&marks.to_string()), marks);
        let long = "fleet/a".to_owned() + &" fleet/x".repeat(1_000_000);
        assert!(Marks::parse(&long).to_string().len() < 20_000);
        let crowd: String = (0..5_000).map(|number| format!("fleet/{number} ")).collect();
        assert_eq!(Marks::parse(&crowd).to_string().split(' ').count(), MOST_WORDS / 2);
    }

    #[test]
    fn the_next_process_of_a_replica_knows_what_the_last_one_died_of() {
        let mut next = Marks::default();
        next.begin(target("b"));
        next.inherit(Marks::parse("fleet/a fleet/c=1764000000").after_death(NOW));
        assert_eq!(next.to_string(), "fleet/b fleet/a=1764000000 fleet/c=1764000000");
    }
}
