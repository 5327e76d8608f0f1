//! Decides when the status of each object may be written next.
//!
//! ```text
//! attempted ─> rests for a second    (a flapping cluster costs the hub one request a second)
//! failed    ─> backs off by itself   (a failing object does not delay others)
//! failed, or several of its namespace did ─> takes one of a few places   (a hub hanging on them does not delay others)
//! many different objects failed in a row  ─> their kind pauses: the hub itself fails
//! ```

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::status_queue::{StatusKey, StatusWrite};
use crate::domain::backoff::Backoff;

/// Minimum time between two writes of one object.
const REST: Duration = Duration::from_secs(1);

/// Back-off of an object after a refusal, which needs a person to fix it, and after a fault of the hub, which passes.
const AFTER_REFUSAL: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60), spread: 0.0 };
const AFTER_FAULT: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(8), spread: 0.0 };

/// Failures in a row, of different objects of one kind, that mean that the hub fails rather than the objects.
const STREAK: usize = 20;
const PAUSE: Duration = Duration::from_secs(1);

/// Failures in a row, of different objects of one kind and namespace, that make all of that namespace suspect.
const SUSPECT_STREAK: usize = 4;

/// Concurrent writes of suspect objects. Each may take as long as the request timeout; the other places are for objects
/// whose writes succeed.
const MAX_SUSPECTS: usize = 4;

/// Delay before a suspect object without a place is looked at again.
const PLACE_RETRY_DELAY: Duration = Duration::from_millis(200);

/// Minimum time between two warnings: when the hub is at fault, everything fails for the same reason.
const WARNING_INTERVAL: Duration = Duration::from_secs(10);

/// Holds back writes, at most one per object; a newer one replaces the held one.
#[derive(Debug, Default)]
pub(super) struct WriteSchedule {
    held: BTreeMap<StatusKey, (Instant, StatusWrite)>,
    failures: HashMap<StatusKey, u32>,
    /// Resting objects with the time of their last attempt, in that order.
    attempted: VecDeque<(Instant, StatusKey)>,
    streaks: BTreeMap<Cow<'static, str>, BTreeSet<StatusKey>>,
    /// By kind and namespace.
    streaks_of_namespaces: BTreeMap<(Cow<'static, str>, String), BTreeSet<StatusKey>>,
    /// Suspect objects whose writes are in flight.
    suspects: BTreeSet<StatusKey>,
    pauses: BTreeMap<Cow<'static, str>, Instant>,
    last_warned: Option<Instant>,
    /// Failures since the last warning.
    suppressed: usize,
}

impl WriteSchedule {
    /// Returns the write if it may be made now, and holds it back otherwise. A write that changes nothing is dropped.
    pub(super) fn admit(
        &mut self,
        id: StatusKey,
        write: StatusWrite,
        now: Instant,
    ) -> Option<(StatusKey, StatusWrite)> {
        while self.attempted.front().is_some_and(|(at, _)| now - *at >= REST) {
            self.attempted.pop_front();
        }
        let held = self.held.remove(&id);
        let backoff_ends = held.as_ref().map(|(due, _)| *due);
        let write = write.instead_of(held.map(|(_, held)| held));
        if write.changes_nothing() {
            return None;
        }
        let rest_ends = self.attempted.iter().rfind(|(_, attempted)| *attempted == id).map(|(at, _)| *at + REST);
        let is_suspect = self.is_suspect(&id);
        let has_no_place = is_suspect && self.suspects.len() >= MAX_SUSPECTS;
        let place_retry = has_no_place.then_some(now + PLACE_RETRY_DELAY);
        match rest_ends.max(backoff_ends).max(place_retry).filter(|due| *due > now) {
            Some(due) => {
                self.held.insert(id, (due, write));
                None
            }
            None => {
                self.attempted.push_back((now, id.clone()));
                self.suspects.extend(is_suspect.then(|| id.clone()));
                Some((id, write))
            }
        }
    }

    fn is_suspect(&self, id: &StatusKey) -> bool {
        let streak = self.streaks_of_namespaces.get(&namespace_of(id));
        self.failures.contains_key(id) || streak.is_some_and(|streak| streak.len() >= SUSPECT_STREAK)
    }

    /// Records that an admitted write is no longer in flight, whatever its outcome.
    pub(super) fn ended(&mut self, id: &StatusKey) {
        self.suspects.remove(id);
    }

    /// Records a success. Writes held back because of a fault of the hub become due at once.
    pub(super) fn written(&mut self, id: &StatusKey, now: Instant) {
        self.superseded(id);
        self.streaks_of_namespaces.remove(&namespace_of(id));
        let streak = self.streaks.remove(&id.kind).unwrap_or_default();
        if self.pauses.remove(&id.kind).is_some() {
            for failed in streak {
                self.failures.remove(&failed);
                self.held.entry(failed).and_modify(|(due, _)| *due = now);
            }
        }
    }

    /// Records that the object was changed or deleted meanwhile, so that a new decision will follow.
    pub(super) fn superseded(&mut self, id: &StatusKey) {
        self.failures.remove(id);
    }

    /// Records a failure and backs off. `refused`: by the hub, which otherwise did not take the request.
    pub(super) fn failed(&mut self, id: StatusKey, mut write: StatusWrite, refused: bool, why: &str, now: Instant) {
        // Unless it was refused, it may have taken effect.
        write.former_meaning = write.former_meaning.filter(|_| refused);
        let backoff = if refused { AFTER_REFUSAL } else { AFTER_FAULT };
        let failures = self.failures.entry(id.clone()).or_default();
        let pause = backoff.delay(*failures, 0.0);
        *failures = failures.saturating_add(1);
        self.streaks_of_namespaces.entry(namespace_of(&id)).or_default().insert(id.clone());
        let streak = self.streaks.entry(id.kind.clone()).or_default();
        streak.insert(id.clone());
        if streak.len() >= STREAK {
            self.pauses.insert(id.kind.clone(), now + PAUSE);
        }
        self.warn(&id, why, now);
        // A newer write may have arrived while this one was in flight.
        let write = match self.held.remove(&id) {
            Some((_, newer)) => newer.instead_of(Some(write)),
            None => write,
        };
        self.held.insert(id, (now + pause, write));
    }

    fn warn(&mut self, id: &StatusKey, why: &str, now: Instant) {
        if self.last_warned.is_some_and(|last| now - last < WARNING_INTERVAL) {
            self.suppressed += 1;
            return;
        }
        let (kind, namespace, name) = (id.kind.as_ref(), id.object.namespace(), id.object.name());
        let others = std::mem::take(&mut self.suppressed);
        tracing::warn!(kind, namespace, name, why, others, "failed to write a status; retrying");
        self.last_warned = Some(now);
    }

    /// Whether writes of a kind are paused.
    pub(super) fn is_paused(&self, kind: &str, now: Instant) -> bool {
        self.pauses.get(kind).is_some_and(|until| *until > now)
    }

    /// Returns when the next held write is due or the next pause ends.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        let pauses = self.pauses.values().copied().filter(|until| *until > now);
        self.held.values().map(|(due, _)| *due).chain(pauses).min()
    }

    /// Takes out the writes that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(StatusKey, StatusWrite)> {
        let due: Vec<StatusKey> =
            self.held.iter().filter(|(_, (due, _))| *due <= now).map(|(id, _)| id.clone()).collect();
        due.into_iter().filter_map(|id| self.held.remove(&id).map(|(_, write)| (id, write))).collect()
    }
}

fn namespace_of(id: &StatusKey) -> (Cow<'static, str>, String) {
    (id.kind.clone(), id.object.namespace().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::value::RawValue;

    use crate::domain::keys::ObjectKey;
    use crate::domain::priority::Priority;

    const WHY: &str = "no";

    fn refuse(schedule: &mut WriteSchedule, name: &str, now: Instant) {
        schedule.failed(id(name), write(), true, WHY, now);
    }

    fn id(name: &str) -> StatusKey {
        StatusKey { kind: "IntegrationTarget".into(), object: ObjectKey::new("fleet", name) }
    }

    fn write() -> StatusWrite {
        StatusWrite {
            resource: kube::core::ApiResource::erase::<crate::api::IntegrationTarget>(&()),
            object: Default::default(),
            status: RawValue::NULL.to_owned(),
            priority: Priority::CanWait,
            meaning: 0,
            former_meaning: None,
            transitions: Vec::new(),
        }
    }

    #[test]
    fn write_that_reverts_an_unwritten_one_is_dropped() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        assert!(schedule.admit(id("a"), change(0, 1), start).is_some());
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        assert!(schedule.admit(id("a"), change(2, 1), start).is_none());
        assert_eq!(schedule.next(start), None, "the hub has this status already");
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        assert_eq!(schedule.due(start + REST).len(), 1);
        let lost = |schedule: &mut WriteSchedule, refused| {
            schedule.failed(id("b"), change(1, 2), refused, WHY, start);
            schedule.admit(id("b"), change(2, 1), start);
            !schedule.due(start + AFTER_REFUSAL.longest).is_empty()
        };
        assert!(lost(&mut schedule, false), "it may have taken effect");
        assert!(!lost(&mut schedule, true));
    }

    /// A newer status arrives while the older one is in flight.
    #[test]
    fn failed_write_does_not_replace_a_newer_one() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        assert!(schedule.admit(id("a"), change(0, 1), start).is_some());
        assert!(schedule.admit(id("a"), change(1, 2), start).is_none(), "it rests");
        schedule.failed(id("a"), change(0, 1), true, WHY, start);
        let due = schedule.due(start + AFTER_REFUSAL.longest);
        assert_eq!(
            due.iter().map(|(_, write)| (write.former_meaning, write.meaning)).collect::<Vec<_>>(),
            [(Some(0), 2)]
        );
    }

    /// The two writes are based on different statuses: another process wrote in between.
    #[test]
    fn write_based_on_another_status_is_made() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let change = |former: u128, meaning| StatusWrite { meaning, former_meaning: Some(former), ..write() };
        schedule.failed(id("a"), change(0, 1), true, WHY, start);
        assert!(schedule.admit(id("a"), change(7, 0), start).is_none(), "it backs off");
        assert_eq!(schedule.due(start + AFTER_REFUSAL.longest).len(), 1, "the hub has 7, and 0 is wanted");
    }

    #[test]
    fn failing_object_backs_off_alone() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let mut pauses = Vec::new();
        for _ in 0..8 {
            refuse(&mut schedule, "a", start);
            let other = format!("other-{}", pauses.len());
            assert!(schedule.admit(id(&other), write(), start).is_some(), "others are not delayed");
            assert!(schedule.admit(id("a"), write(), start).is_none(), "a newer status does not shorten the backoff");
            let due = schedule.next(start).unwrap();
            pauses.push((due - start).as_secs());
            assert!(schedule.due(start).is_empty(), "not yet");
            assert_eq!(schedule.due(due).len(), 1, "only the newest");
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!((schedule.next(start), schedule.is_paused("IntegrationTarget", start)), (None, false));
        schedule.superseded(&id("a"));
        refuse(&mut schedule, "a", start);
        assert_eq!(schedule.next(start), Some(start + AFTER_REFUSAL.first));
    }

    #[test]
    fn attempted_object_rests_for_a_second() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        assert!(schedule.admit(id("a"), write(), start).is_some());
        let half = start + REST / 2;
        assert!(schedule.admit(id("b"), write(), half).is_some());
        assert!(schedule.admit(id("a"), write(), half).is_none() && schedule.admit(id("a"), write(), half).is_none());
        assert_eq!(schedule.next(half), Some(start + REST));
        let due = schedule.due(start + REST);
        assert!(due.len() == 1 && schedule.admit(id("a"), write(), start + REST).is_some());
        assert_eq!(schedule.attempted.len(), 2, "older attempts are forgotten");
    }

    #[test]
    fn many_different_failures_pause_their_kind_until_one_succeeds() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let name = |number: usize| id(&format!("c{number}"));
        (0..STREAK * 3).for_each(|_| schedule.failed(name(0), write(), false, WHY, start));
        assert_eq!(schedule.next(start), Some(start + AFTER_FAULT.longest));
        assert!(!schedule.is_paused("IntegrationTarget", start), "one object, however often");
        (1..STREAK).for_each(|number| schedule.failed(name(number), write(), false, WHY, start));
        assert!(schedule.is_paused("IntegrationTarget", start));
        assert_eq!(schedule.next(start), Some(start + PAUSE));
        assert!(!schedule.is_paused("Integration", start));
        schedule.written(&id("other"), start + PAUSE);
        assert!(!schedule.is_paused("IntegrationTarget", start + PAUSE / 2));
        assert_eq!(schedule.due(start + PAUSE).len(), STREAK, "the hub is back: backoffs end at once");
    }

    #[test]
    fn failing_namespace_leaves_places_to_others() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        let of = |namespace: &str, number: usize| StatusKey {
            kind: "IntegrationTarget".into(),
            object: ObjectKey::new(namespace, format!("c{number}")),
        };
        let admitted = |schedule: &mut WriteSchedule, namespace, numbers: std::ops::Range<usize>| {
            numbers.filter(|number| schedule.admit(of(namespace, *number), write(), start).is_some()).count()
        };
        assert_eq!(admitted(&mut schedule, "team", 0..SUSPECT_STREAK), SUSPECT_STREAK);
        for number in 0..SUSPECT_STREAK {
            schedule.ended(&of("team", number));
            schedule.failed(of("team", number), write(), false, WHY, start);
        }
        assert_eq!(admitted(&mut schedule, "team", 10..50), MAX_SUSPECTS, "also those that have not failed");
        assert_eq!(admitted(&mut schedule, "fleet", 0..50), 50);
        let retry = start + PLACE_RETRY_DELAY;
        assert_eq!(schedule.next(start), Some(retry));
        assert_eq!(schedule.due(retry).len(), 40 - MAX_SUSPECTS);
        schedule.ended(&of("team", 10));
        schedule.written(&of("team", 10), start);
        assert_eq!(admitted(&mut schedule, "team", 50..90), 40, "one success clears the namespace");
    }

    #[test]
    fn one_warning_stands_for_many_failures() {
        let (mut schedule, start) = (WriteSchedule::default(), Instant::now());
        ["a", "b", "c"].iter().for_each(|name| refuse(&mut schedule, name, start));
        assert_eq!((schedule.last_warned, schedule.suppressed), (Some(start), 2));
        refuse(&mut schedule, "d", start + WARNING_INTERVAL);
        assert_eq!((schedule.last_warned, schedule.suppressed), (Some(start + WARNING_INTERVAL), 0));
    }
}
