//! Tracks which targets a replica was checking for the first time when it died.
//!
//! ```text
//! first check starts ─> mark on the replica's own Lease ─> read the target ─> remove the mark
//! expired Lease with marks ─> the marked targets are suspects: checked one at a time
//! marked at two deaths ─> quarantined, so that a hostile target can't crash one replica after the other
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::domain::keys::TargetKey;

/// Deaths after which a target is quarantined.
const QUARANTINE_DEATHS: usize = 2;

/// Seconds for which a death counts. Then a quarantined target is retried.
const DEATH_TTL: i64 = 3600;

/// Upper bound of words on a Lease, far below the hub's limit for an annotation.
const MAX_WORDS: usize = 1024;

/// The marks on a replica's Lease. As text, words: `namespace/name` for each target in its first check, and
/// `namespace/name=seconds,seconds` for each target marked at deaths, with their times in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    in_check: BTreeSet<TargetKey>,
    deaths: BTreeMap<TargetKey, BTreeSet<i64>>,
}

/// Suspicion level of a target before its first check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suspicion {
    None,
    /// Marked at one death: checked while no other suspect is.
    Suspect,
    /// Not checked for the next `seconds`.
    Quarantined {
        seconds: u32,
    },
}

impl Marks {
    /// Parses untrusted text, and skips invalid words.
    pub fn parse(text: &str) -> Self {
        let mut marks = Self::default();
        for word in text.split_ascii_whitespace().take(MAX_WORDS) {
            let (target, deaths) = match word.split_once('=') {
                Some((target, deaths)) => (target, Some(deaths)),
                None => (word, None),
            };
            let Some((namespace, name)) = target.split_once('/') else { continue };
            let target = TargetKey::new(namespace, name);
            match deaths {
                None => drop(marks.in_check.insert(target)),
                Some(deaths) => {
                    let times = deaths.split(',').filter_map(|time| time.parse::<i64>().ok()).take(QUARANTINE_DEATHS);
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

    /// The marks that remain when the replica releases its Lease.
    #[must_use]
    pub fn given_back(mut self) -> Self {
        self.in_check.clear();
        self
    }

    /// The marks after the replica died without releasing its Lease, which was detected at `now`.
    #[must_use]
    pub fn after_death(mut self, now: i64) -> Self {
        for target in std::mem::take(&mut self.in_check) {
            self.deaths.entry(target).or_default().insert(now);
        }
        self
    }

    /// Adopts the deaths that an earlier process of this replica left.
    pub fn inherit(&mut self, former: Self) {
        former.deaths.into_iter().for_each(|(target, deaths)| self.deaths.entry(target).or_default().extend(deaths));
    }

    /// Drops expired deaths.
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

/// Judges a target by its deaths on all Leases.
pub fn suspicion(deaths: impl IntoIterator<Item = i64>, now: i64) -> Suspicion {
    let mut deaths: Vec<i64> = deaths.into_iter().filter(|death| counts(*death, now)).collect();
    deaths.sort_unstable();
    if deaths.is_empty() {
        return Suspicion::None;
    }
    // The quarantine ends when too few unexpired deaths remain.
    match deaths.len().checked_sub(QUARANTINE_DEATHS).map(|index| deaths[index] + DEATH_TTL - now) {
        None => Suspicion::Suspect,
        Some(left) => Suspicion::Quarantined { seconds: u32::try_from(left).unwrap_or_default() },
    }
}

/// Whether a death counts at `now`. A time in the far future comes from a wrong clock or was made up.
fn counts(death: i64, now: i64) -> bool {
    (now - DEATH_TTL..=now + DEATH_TTL).contains(&death)
}

impl fmt::Display for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for target in self.in_check.iter().take(MAX_WORDS / 2) {
            write!(f, "{space}{target}")?;
            space = " ";
        }
        for (target, deaths) in self.deaths.iter().take(MAX_WORDS / 2) {
            write!(f, "{space}{target}=")?;
            let mut comma = "";
            for death in deaths.iter().rev().take(QUARANTINE_DEATHS) {
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
    fn death_makes_suspects_of_targets_in_first_check_only() {
        let mut marks = Marks::default();
        marks.begin(target("a"));
        marks.begin(target("b"));
        marks.end(&target("b"));
        let died = marks.clone().after_death(NOW);
        assert_eq!((judge(&died, "a", NOW), judge(&died, "b", NOW)), (Suspicion::Suspect, Suspicion::None));
        assert_eq!(judge(&marks.given_back(), "a", NOW), Suspicion::None);
    }

    #[test]
    fn two_deaths_quarantine_across_replicas() {
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
    fn quarantine_and_suspicion_expire() {
        let marks = Marks::parse(&format!("fleet/a={NOW},{}", NOW - 600));
        assert_eq!(judge(&marks, "a", NOW), Suspicion::Quarantined { seconds: 3000 });
        assert_eq!(judge(&marks, "a", NOW + 3001), Suspicion::Suspect);
        assert_eq!(judge(&marks, "a", NOW + 3601), Suspicion::None);
        assert_eq!(judge(&marks, "a", NOW - 7200), Suspicion::None, "deaths far in the future don't count");
        let mut later = marks;
        later.forget(NOW + 3601);
        assert_eq!(later, Marks::default());
    }

    #[test]
    fn marks_round_trip_and_nonsense_is_skipped() {
        let mut marks = Marks::parse("fleet/a fleet/b=17,18 nonsense =5 fleet/c=x / ");
        marks.forget(17);
        assert_eq!(marks.to_string(), "/ fleet/a fleet/b=18,17");
        assert_eq!(Marks::parse(&marks.to_string()), marks);
        let long = "fleet/a".to_owned() + &" fleet/x".repeat(1_000_000);
        assert!(Marks::parse(&long).to_string().len() < 20_000);
        let crowd: String = (0..5_000).map(|number| format!("fleet/{number} ")).collect();
        assert_eq!(Marks::parse(&crowd).to_string().split(' ').count(), MAX_WORDS / 2);
    }

    #[test]
    fn next_process_of_a_replica_inherits_deaths() {
        let mut next = Marks::default();
        next.begin(target("b"));
        next.inherit(Marks::parse("fleet/a fleet/c=1764000000").after_death(NOW));
        assert_eq!(next.to_string(), "fleet/b fleet/a=1764000000 fleet/c=1764000000");
    }
}
