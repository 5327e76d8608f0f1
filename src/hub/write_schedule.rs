//! When the status of each object may be written next.
//!
//! ```text
//! tried   ─> rests for a second          (a cluster that flaps costs the hub one request a second)
//! failed  ─> backs off alone              (one failing object delays no other)
//! failed, or several of its namespace did ─> takes one of a few places   (hub that hangs on them delays no other)
//! many different objects failed in a row ─> all of that kind pause: the hub itself fails
//! ```

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::status_queue::{ObjectId, StatusWrite};

/// Between two writes of one object.
const REST: Duration = Duration::from_secs(1);

/// After the first failure of an object; it doubles with each.
const FIRST: Duration = Duration::from_secs(1);

/// At the longest: after a refusal, which only a person mends, and after a fault of the hub, which passes.
const LONGEST_REFUSED: Duration = Duration::from_secs(60);
const LONGEST_RETRIED: Duration = Duration::from_secs(8);

/// So many different objects of a kind that fail in a row say that the hub fails, not they.
const STREAK: usize = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// So many different objects of a kind in one namespace that fail in a row make all of them suspect.
const SUSPECT: usize = 4;

/// Writes of suspect objects under way at a time. Each may take as long as the hub is waited for; the other places are
/// for objects whose writes succeed.
const SUSPECTS_IN_FLIGHT: usize = 4;

/// A suspect object that finds no place is looked at again after so long.
const LOOK_FOR_PLACE: Duration = Duration::from_millis(200);

/// One warning for so long: when something is wrong with the hub, everything fails for the same reason.
const QUIET: Duration = Duration::from_secs(10);

/// One write for each object at the most; a newer one takes the place of the one that is held.
#[derive(Debug, Default)]
pub(super) struct WriteSchedule {
    held: BTreeMap<ObjectId, (Instant, StatusWrite)>,
    failures: HashMap<ObjectId, u32>,
    /// Objects that rest, in the order in which they were tried.
    tried: VecDeque<(Instant, ObjectId)>,
    streaks: BTreeMap<String, BTreeSet<ObjectId>>,
    /// By kind and namespace.
    streaks_of_namespaces: BTreeMap<(String, String), BTreeSet<ObjectId>>,
    /// Suspect objects whose writes are under way.
    probing: BTreeSet<ObjectId>,
    pauses: BTreeMap<String, Instant>,
    warned: Option<Instant>,
    unsaid: usize,
}

impl WriteSchedule {
    /// Gives the write back if it may be made now, else holds it until it may. One that changes nothing is dropped.
    pub(super) fn admit(&mut self, id: ObjectId, write: StatusWrite, now: Instant) -> Option<(ObjectId, StatusWrite)> {
        while self.tried.front().is_some_and(|(at, _)| now - *at >= REST) {
            self.tried.pop_front();
        }
        let held = self.held.remove(&id);
        let backs_off = held.as_ref().map(|(due, _)| *due);
        let write = write.instead_of(held.map(|(_, held)| held));
        if write.changes_nothing() {
            return None;
        }
        let rests = self.tried.iter().rfind(|(_, tried)| *tried == id).map(|(at, _)| *at + REST);
        let is_suspect = self.is_suspect(&id);
        let has_no_place = is_suspect && self.probing.len() >= SUSPECTS_IN_FLIGHT;
        let looks_again = has_no_place.then_some(now + LOOK_FOR_PLACE);
        match rests.max(backs_off).max(looks_again).filter(|due| *due > now) {
            Some(due) => {
                self.held.insert(id, (due, write));
                None
            }
            None => {
                self.tried.push_back((now, id.clone()));
                self.probing.extend(is_suspect.then(|| id.clone()));
                Some((id, write))
            }
        }
    }

    fn is_suspect(&self, id: &ObjectId) -> bool {
        let streak = self.streaks_of_namespaces.get(&namespace_of(id));
        self.failures.contains_key(id) || streak.is_some_and(|streak| streak.len() >= SUSPECT)
    }

    /// The write that was admitted is under way no more, however it ended.
    pub(super) fn ended(&mut self, id: &ObjectId) {
        self.probing.remove(id);
    }

    /// The hub took the write. What failed beside it because the hub did is due again.
    pub(super) fn written(&mut self, id: &ObjectId, now: Instant) {
        self.superseded(id);
        self.streaks_of_namespaces.remove(&namespace_of(id));
        let streak = self.streaks.remove(&id.0).unwrap_or_default();
        if self.pauses.remove(&id.0).is_some() {
            for failed in streak {
                self.failures.remove(&failed);
                self.held.entry(failed).and_modify(|(due, _)| *due = now);
            }
        }
    }

    /// The object went or changed meanwhile: another decision comes.
    pub(super) fn superseded(&mut self, id: &ObjectId) {
        self.failures.remove(id);
    }

    /// The hub refused the write, or could not take it.
    pub(super) fn failed(&mut self, id: ObjectId, mut write: StatusWrite, refused: bool, why: &str, now: Instant) {
        // It may have been made all the same.
        write.former_meaning = write.former_meaning.filter(|_| refused);
        let longest = if refused { LONGEST_REFUSED } else { LONGEST_RETRIED };
        let failures = self.failures.entry(id.clone()).or_default();
        let pause = FIRST.saturating_mul(2u32.saturating_pow(*failures)).min(longest);
        *failures = failures.saturating_add(1);
        self.streaks_of_namespaces.entry(namespace_of(&id)).or_default().insert(id.clone());
        let streak = self.streaks.entry(id.0.clone()).or_default();
        streak.insert(id.clone());
        if streak.len() >= STREAK {
            self.pauses.insert(id.0.clone(), now + PAUSE);
        }
        self.warn(&id, why, now);
        // A newer one may have come while it was under way.
        let write = match self.held.remove(&id) {
            Some((_, newer)) => newer.instead_of(Some(write)),
            None => write,
        };
        self.held.insert(id, (now + pause, write));
    }

    fn warn(&mut self, id: &ObjectId, why: &str, now: Instant) {
        if self.warned.is_some_and(|warned| now - warned < QUIET) {
            self.unsaid += 1;
            return;
        }
        let ((kind, namespace, name), others) = (id, std::mem::take(&mut self.unsaid));
        tracing::warn!(kind, namespace, name, why, others, "a status could not be written; trying again");
        self.warned = Some(now);
    }

    /// Whether objects of a kind may not be written now.
    pub(super) fn is_paused(&self, kind: &str, now: Instant) -> bool {
        self.pauses.get(kind).is_some_and(|until| *until > now)
    }

    /// When there is something to do again: a held write is due, or a pause ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let pauses = self.pauses.values().copied().filter(|until| *until > now);
        self.held.values().map(|(due, _)| *due).chain(pauses).min()
    }

    /// Takes out what is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(ObjectId, StatusWrite)> {
        let due: Vec<ObjectId> =
            self.held.iter().filter(|(_, (due, _))| *due <= now).map(|(id, _)| id.clone()).collect();
        due.into_iter().filter_map(|id| self.held.remove(&id).map(|(_, write)| (id, write))).collect()
    }
}

fn namespace_of((kind, namespace, _): &ObjectId) -> (String, String) {
    (kind.clone(), namespace.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::priority::Priority;

    const WHY: &str = "no";

    fn refuse(schedule: &mut WriteSchedule, name: &str, now: Instant) {
        schedule.failed(id(name), write(), true, WHY, now);
    }

    fn id(name: &str) -> ObjectId {
        ("IntegrationTarget".to_owned(), "fleet".to_owned(), name.to_owned())
    }

    fn write() -> StatusWrite {
        StatusWrite {
            resource: kube::core::ApiResource::erase::<crate::api::IntegrationTarget>(&()),
            object: Default::default(),
            status: "null".to_owned(),
            priority: Priority::CanWait,
            meaning: 0,
            former_meaning: None,
            transitions: Vec::new(),
        }
    }

    #[test]
    fn write_that_takes_back_one_that_was_not_made_is_none() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        assert!(schedule.admit(id("a"), change(0, 1), start).is_some());
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        assert!(schedule.admit(id("a"), change(2, 1), start).is_none());
        assert_eq!(schedule.next(start), None, "what stands there is what is to be written");
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        assert_eq!(schedule.due(start + REST).len(), 1);
        let lost = |schedule: &mut WriteSchedule, refused| {
            schedule.failed(id("b"), change(1, 2), refused, WHY, start);
            schedule.admit(id("b"), change(2, 1), start);
            !schedule.due(start + LONGEST_REFUSED).is_empty()
        };
        assert!(lost(&mut schedule, false), "nobody knows whether it was made");
        assert!(!lost(&mut schedule, true));
    }

    /// A newer status came while the older one was under way.
    #[test]
    fn write_that_fails_replaces_no_newer_one() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        assert!(schedule.admit(id("a"), change(0, 1), start).is_some());
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        schedule.failed(id("a"), change(0, 1), true, WHY, start);
        let due = schedule.due(start + LONGEST_REFUSED);
        assert_eq!(
            due.iter().map(|(_, write)| (write.former_meaning, write.meaning)).collect::<Vec<_>>(),
            [(Some(0), 2)]
        );
    }

    /// The older write was decided from another status than the newer one: somebody wrote in between.
    #[test]
    fn write_over_another_status_is_made() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        schedule.failed(id("a"), change(0, 1), true, WHY, start);
        assert!(schedule.admit(id("a"), change(7, 0), start).is_none(), "it backs off");
        assert_eq!(schedule.due(start + LONGEST_REFUSED).len(), 1, "7 stands there, and 0 is meant");
    }

    #[test]
    fn failing_object_backs_off_alone() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refuse(&mut schedule, "a", start);
            let other = format!("other-{}", pauses.len());
            assert!(schedule.admit(id(&other), write(), start).is_some(), "the others are not concerned");
            assert!(schedule.admit(id("a"), write(), start).is_none(), "nor is a newer status written sooner");
            let due = schedule.next(start).unwrap();
            pauses.push((due - start).as_secs());
            assert!(schedule.due(start).is_empty(), "not yet");
            assert_eq!(schedule.due(due).len(), 1, "the newest alone");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((schedule.next(start), schedule.is_paused("IntegrationTarget", start)), (None, false));
        schedule.superseded(&id("a"));
        refuse(&mut schedule, "a", start);
        assert_eq!(schedule.next(start), Some(start + FIRST));
    }

    #[test]
    fn tried_object_rests_for_a_second() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        assert!(schedule.admit(id("a"), write(), start).is_some());
        let half = start + REST / 2;
        assert!(schedule.admit(id("b"), write(), half).is_some());
        assert!(schedule.admit(id("a"), write(), half).is_none() && schedule.admit(id("a"), write(), half).is_none());
        assert_eq!(schedule.next(half), Some(start + REST));
        let due = schedule.due(start + REST);
        assert!(due.len() == 1 && schedule.admit(id("a"), write(), start + REST).is_some());
        assert_eq!(schedule.tried.len(), 2, "older tries are forgotten");
    }

    #[test]
    fn many_different_failures_pause_their_kind_until_one_succeeds() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let name = |number: usize| id(&format!("c{number}"));
        (0..STREAK * 3).for_each(|_| schedule.failed(name(0), write(), false, WHY, start));
        assert_eq!(schedule.next(start), Some(start + LONGEST_RETRIED));
        assert!(!schedule.is_paused("IntegrationTarget", start), "one object, however often");
        (1..STREAK).for_each(|number| schedule.failed(name(number), write(), false, WHY, start));
        assert!(schedule.is_paused("IntegrationTarget", start));
        assert_eq!(schedule.next(start), Some(start + PAUSE));
        assert!(!schedule.is_paused("Integration", start));
        schedule.written(&id("other"), start + PAUSE);
        assert!(!schedule.is_paused("IntegrationTarget", start + PAUSE / 2));
        assert_eq!(schedule.due(start + PAUSE).len(), STREAK, "the hub is back: nobody waits out a back-off");
    }

    #[test]
    fn failing_namespace_leaves_places_to_others() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let of = |namespace: &str, number: usize| {
            ("IntegrationTarget".to_owned(), namespace.to_owned(), format!("c{number}"))
        };
        let admitted = |schedule: &mut WriteSchedule, namespace, numbers: std::ops::Range<usize>| {
            numbers.filter(|number| schedule.admit(of(namespace, *number), write(), start).is_some()).count()
        };
        assert_eq!(admitted(&mut schedule, "team", 0..SUSPECT), SUSPECT);
        for number in 0..SUSPECT {
            schedule.ended(&of("team", number));
            schedule.failed(of("team", number), write(), false, WHY, start);
        }
        assert_eq!(admitted(&mut schedule, "team", 10..50), SUSPECTS_IN_FLIGHT, "also those that have not failed");
        assert_eq!(admitted(&mut schedule, "fleet", 0..50), 50);
        let retry = start + LOOK_FOR_PLACE;
        assert_eq!(schedule.next(start), Some(retry));
        assert_eq!(schedule.due(retry).len(), 40 - SUSPECTS_IN_FLIGHT);
        schedule.ended(&of("team", 10));
        schedule.written(&of("team", 10), start);
        assert_eq!(admitted(&mut schedule, "team", 50..90), 40, "one success clears the namespace");
    }

    #[test]
    fn one_warning_stands_for_many_failures() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        ["a", "b", "c"].iter().for_each(|name| refuse(&mut schedule, name, start));
        assert_eq!((schedule.warned, schedule.unsaid), (Some(start), 2));
        refuse(&mut schedule, "d", start + QUIET);
        assert_eq!((schedule.warned, schedule.unsaid), (Some(start + QUIET), 0));
    }
}
