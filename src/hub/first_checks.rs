//! Leave to read a target for the first time: given when the replica's Lease says that it is about to.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use tokio::sync::{Notify, Semaphore, SemaphorePermit, watch};

use super::lease_board::LeaseBoard;
use crate::domain::first_check::{Marks, Suspicion, suspicion};
use crate::domain::keys::TargetKey;
use crate::domain::replica::ReplicaName;

/// On a member's Lease.
const ANNOTATION: &str = "ksit.io/first-checks";

/// Targets that are marked at a time. Few enough that after a death they can be read one by one.
const MARKED: usize = 256;

/// Shortest time from one write of marks to the next; ten times as long as the last one took where that is more: the
/// busier the hub, the fewer.
const GAP: Duration = Duration::from_millis(100);
const GAP_OF_WRITES: u32 = 10;

/// So that a replica gets on all the same.
const LONGEST_GAP: Duration = Duration::from_millis(500);

/// The marks of this replica, and how far they are written.
pub struct FirstChecks {
    me: ReplicaName,
    board: Arc<LeaseBoard>,
    inner: Mutex<Inner>,
    /// Number of the newest change that the hub has. `None`: the Lease isn't this process's yet.
    written: watch::Sender<Option<u64>>,
    dirty: Notify,
    places: Semaphore,
    /// Of suspects.
    alone: Semaphore,
}

#[derive(Default)]
struct Inner {
    marks: Marks,
    changes: u64,
}

/// The target is marked until this is dropped.
pub struct FirstCheck<'a> {
    checks: &'a FirstChecks,
    target: TargetKey,
    _place: Option<SemaphorePermit<'a>>,
    _alone: Option<SemaphorePermit<'a>>,
}

/// The target is marked until this is dropped, as one in its first check is.
pub struct Marked {
    checks: Arc<FirstChecks>,
    target: TargetKey,
}

/// The target was being read when replicas died; it is left alone for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined(pub Duration);

impl FirstChecks {
    pub fn new(me: ReplicaName, board: Arc<LeaseBoard>) -> Self {
        let (places, alone) = (Semaphore::new(MARKED), Semaphore::new(1));
        Self {
            me,
            board,
            inner: Mutex::default(),
            written: watch::Sender::new(None),
            dirty: Notify::new(),
            places,
            alone,
        }
    }

    /// Waits until the hub knows that `target` is about to be read.
    ///
    /// # Errors
    /// It was present at two deaths of replicas within an hour.
    pub async fn begin(&self, target: &TargetKey) -> Result<FirstCheck<'_>, Quarantined> {
        self.until_earlier_marks_are_known().await;
        // The semaphores are never closed, so a permit is always got.
        let alone = match self.suspicion(target) {
            Suspicion::None => None,
            _ => self.alone.acquire().await.ok(),
        };
        let place = self.places.acquire().await.ok();
        if let Suspicion::Quarantined { seconds } = self.suspicion(target) {
            return Err(Quarantined(Duration::from_secs(seconds.into())));
        }
        let change = self.change(|marks| marks.begin(target.clone()));
        let check = FirstCheck { checks: self, target: target.clone(), _place: place, _alone: alone };
        self.dirty.notify_one();
        // It ends with the process only.
        let _ = self.written.subscribe().wait_for(|written| *written >= Some(change)).await;
        Ok(check)
    }

    /// Marks a target that makes this replica keep ever more. Waits for nothing: it is being read already.
    pub fn mark(self: &Arc<Self>, target: &TargetKey) -> Marked {
        self.change(|marks| marks.begin(target.clone()));
        self.dirty.notify_one();
        Marked { checks: self.clone(), target: target.clone() }
    }

    /// Those that other replicas left, and those of the process before this one.
    async fn until_earlier_marks_are_known(&self) {
        let mut changes = self.board.changes();
        while !self.board.is_listed() && changes.changed().await.is_ok() {}
        let _ = self.written.subscribe().wait_for(Option::is_some).await;
    }

    fn suspicion(&self, target: &TargetKey) -> Suspicion {
        let others = self.board.annotated(ANNOTATION, &target.to_string(), &self.me);
        let marks = |(lease, died): &(Lease, bool)| if *died { after_death(lease) } else { read(lease) };
        let others: Vec<Marks> = others.iter().map(marks).collect();
        let own = self.lock();
        let all = others.iter().chain([&own.marks]);
        suspicion(all.flat_map(|marks| marks.deaths(target)), Timestamp::now().as_second())
    }

    /// Waits for marks that the hub doesn't have, and a moment more for those that come with them. A suspect's comes
    /// alone, and the next one waits for it. `took`: the last write.
    pub(super) async fn until_dirty(&self, took: Duration) {
        self.dirty.notified().await;
        if self.alone.available_permits() > 0 {
            tokio::time::sleep((took * GAP_OF_WRITES).clamp(GAP, LONGEST_GAP)).await;
        }
    }

    /// Puts the marks on the own Lease, which is about to be written; the number is for [`Self::wrote`].
    pub(super) fn put_on(&self, lease: &mut Lease) -> u64 {
        let mut inner = self.lock();
        inner.marks.forget(Timestamp::now().as_second());
        put(lease, &inner.marks);
        inner.changes
    }

    pub(super) fn wrote(&self, change: u64) {
        self.written.send_replace(Some(change));
    }

    /// Takes over what the process before this one left on the Lease: one that was not given back tells of a death.
    pub(super) fn inherit(&self, lease: &Lease, was_given_back: bool) {
        let left = if was_given_back { read(lease).given_back() } else { after_death(lease) };
        self.change(|marks| marks.inherit(left));
    }

    /// What stays on the own Lease when it is given back.
    pub(super) fn give_back(&self, lease: &mut Lease) {
        let marks = read(lease).given_back();
        put(lease, &marks);
    }

    fn change(&self, change: impl FnOnce(&mut Marks)) -> u64 {
        let mut inner = self.lock();
        change(&mut inner.marks);
        inner.changes += 1;
        inner.changes
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(lease: &Lease) -> Marks {
    lease.annotations().get(ANNOTATION).map(|text| Marks::parse(text)).unwrap_or_default()
}

/// Whoever held it died after it was last written.
fn after_death(lease: &Lease) -> Marks {
    let written = lease.spec.as_ref().and_then(|spec| spec.renew_time.as_ref());
    read(lease).after_death(written.map_or_else(Timestamp::now, |time| time.0).as_second())
}

fn put(lease: &mut Lease, marks: &Marks) {
    let text = marks.to_string();
    match text.is_empty() {
        true => drop(lease.annotations_mut().remove(ANNOTATION)),
        false => drop(lease.annotations_mut().insert(ANNOTATION.to_owned(), text)),
    }
}

impl Drop for FirstCheck<'_> {
    fn drop(&mut self) {
        self.checks.change(|marks| marks.end(&self.target));
        if !self.checks.lock().marks.is_any_in_check() {
            self.checks.dirty.notify_one();
        }
    }
}

impl Drop for Marked {
    fn drop(&mut self) {
        self.checks.change(|marks| marks.end(&self.target));
        self.checks.dirty.notify_one();
    }
}

#[cfg(test)]
impl FirstChecks {
    /// Gives leave at once, as if each mark were known to the hub.
    pub fn at_once() -> Self {
        let board = Arc::new(LeaseBoard::new(super::Clock::start(), Duration::from_secs(6)));
        board.listed(&Default::default(), Duration::ZERO);
        let checks = Self::new(ReplicaName::new("ksit-0"), board);
        checks.wrote(u64::MAX);
        checks
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::hub::Clock;

    #[test]
    fn a_first_check_waits_until_it_is_known_what_earlier_processes_died_of() {
        let board = Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6)));
        let checks = FirstChecks::new(ReplicaName::new("ksit-0"), board.clone());
        let poison = TargetKey::new("fleet", "poison");
        let mut begins = Box::pin(checks.begin(&poison));
        assert!((&mut begins).now_or_never().is_none(), "other replicas may have died of it");
        board.listed(&Default::default(), Duration::ZERO);
        assert!((&mut begins).now_or_never().is_none(), "this one may have");

        let mut lease = Lease::default();
        let now = Timestamp::now().as_second();
        let marks = format!("fleet/poison={},{}", now - 2, now - 1);
        lease.annotations_mut().insert(ANNOTATION.to_owned(), marks);
        checks.inherit(&lease, false);
        checks.wrote(0);
        let begun = begins.now_or_never().expect("all is known");
        assert!(matches!(begun, Err(Quarantined(_))));
    }

    #[test]
    fn growing_target_is_on_the_lease_as_long_as_it_grows() {
        let checks = Arc::new(FirstChecks::at_once());
        let marks = |checks: &FirstChecks| {
            let mut lease = Lease::default();
            checks.put_on(&mut lease);
            lease.annotations().get(ANNOTATION).cloned().unwrap_or_default()
        };
        let marked = checks.mark(&TargetKey::new("fleet", "growing"));
        assert_eq!(marks(&checks), "fleet/growing");
        drop(marked);
        assert_eq!(marks(&checks), "");
    }

    #[tokio::test(start_paused = true)]
    async fn the_busier_the_hub_the_fewer_writes() {
        let board = Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6)));
        let checks = FirstChecks::new(ReplicaName::new("ksit-0"), board);
        for (took, gap) in [(3, 100), (30, 300), (4_000, 500)] {
            checks.dirty.notify_one();
            let begun = tokio::time::Instant::now();
            checks.until_dirty(Duration::from_millis(took)).await;
            assert_eq!(begun.elapsed(), Duration::from_millis(gap));
        }
    }
}
