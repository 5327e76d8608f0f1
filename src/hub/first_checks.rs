//! Admits first checks of targets: a target is marked on the replica's Lease before it is read for the first time, so
//! that a crash can be traced to it.

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

/// Annotation of a member's Lease.
const ANNOTATION: &str = "ksit.io/first-checks";

/// Targets marked at a time. Few enough to read them one by one after a crash.
const MAX_MARKED: usize = 256;

/// Minimum time between two writes of marks, or ten times the duration of the last write if that is longer: the busier
/// the hub, the fewer writes.
const MIN_GAP: Duration = Duration::from_millis(100);
const GAP_PER_WRITE: u32 = 10;

/// Upper bound of that gap, so that first checks still make progress.
const MAX_GAP: Duration = Duration::from_millis(500);

/// The marks of this replica, and which of them the hub has.
pub struct FirstChecks {
    me: ReplicaName,
    board: Arc<LeaseBoard>,
    inner: Mutex<Inner>,
    /// Number of the newest change that the hub has. `None`: this process does not hold the Lease yet.
    written: watch::Sender<Option<u64>>,
    dirty: Notify,
    /// Limits the marked targets.
    marked: Semaphore,
    /// Serialises first checks of suspect targets.
    suspect: Semaphore,
}

#[derive(Default)]
struct Inner {
    marks: Marks,
    changes: u64,
}

/// Marks the target until dropped.
pub struct FirstCheck<'a> {
    checks: &'a FirstChecks,
    target: TargetKey,
    _marked: Option<SemaphorePermit<'a>>,
    _suspect: Option<SemaphorePermit<'a>>,
}

/// Marks a target until dropped, like a first check, without occupying one of its permits.
pub struct Marked {
    checks: Arc<FirstChecks>,
    target: TargetKey,
}

/// The target was being read when replicas crashed; it is not read for this long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quarantined(pub Duration);

impl FirstChecks {
    pub fn new(me: ReplicaName, board: Arc<LeaseBoard>) -> Self {
        let (marked, suspect) = (Semaphore::new(MAX_MARKED), Semaphore::new(1));
        Self {
            me,
            board,
            inner: Mutex::default(),
            written: watch::Sender::new(None),
            dirty: Notify::new(),
            marked,
            suspect,
        }
    }

    /// Marks `target` and waits until the hub has the mark.
    ///
    /// # Errors
    /// The target was marked at two crashes of replicas within an hour.
    pub async fn begin(&self, target: &TargetKey) -> Result<FirstCheck<'_>, Quarantined> {
        self.wait_for_earlier_marks().await;
        // The semaphores are never closed, so acquiring always succeeds.
        let suspect = match self.suspicion(target) {
            Suspicion::None => None,
            _ => self.suspect.acquire().await.ok(),
        };
        let marked = self.marked.acquire().await.ok();
        if let Suspicion::Quarantined { seconds } = self.suspicion(target) {
            return Err(Quarantined(Duration::from_secs(seconds.into())));
        }
        let change = self.change(|marks| marks.begin(target.clone()));
        let check = FirstCheck { checks: self, target: target.clone(), _marked: marked, _suspect: suspect };
        self.dirty.notify_one();
        // The sender lives in `self`, so this can't fail.
        let _ = self.written.subscribe().wait_for(|written| *written >= Some(change)).await;
        Ok(check)
    }

    /// Marks a target whose memory use keeps growing. Does not wait for the hub: the target is being read already.
    pub fn mark(self: &Arc<Self>, target: &TargetKey) -> Marked {
        self.change(|marks| marks.begin(target.clone()));
        self.dirty.notify_one();
        Marked { checks: self.clone(), target: target.clone() }
    }

    /// Waits for the marks of other replicas, and of this replica's previous process.
    async fn wait_for_earlier_marks(&self) {
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

    /// Waits until there are unwritten marks, and then for the gap, to batch further ones. A suspect's mark is written
    /// without the gap, since the next suspect waits for it. `took`: duration of the last write.
    pub(super) async fn until_dirty(&self, took: Duration) {
        self.dirty.notified().await;
        if self.suspect.available_permits() > 0 {
            tokio::time::sleep((took * GAP_PER_WRITE).clamp(MIN_GAP, MAX_GAP)).await;
        }
    }

    /// Puts the marks on our Lease before it is written. Returns the number for [`Self::record_written`].
    pub(super) fn put_on(&self, lease: &mut Lease) -> u64 {
        let mut inner = self.lock();
        inner.marks.forget(Timestamp::now().as_second());
        put(lease, &inner.marks);
        inner.changes
    }

    pub(super) fn record_written(&self, change: u64) {
        self.written.send_replace(Some(change));
    }

    /// Takes over the marks that the previous process left on the Lease. A Lease that was not released means a crash.
    pub(super) fn inherit(&self, lease: &Lease, was_released: bool) {
        let left = if was_released { read(lease).given_back() } else { after_death(lease) };
        self.change(|marks| marks.inherit(left));
    }

    /// Reduces the marks on our Lease to those that stay after its release.
    pub(super) fn release(&self, lease: &mut Lease) {
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

/// Returns the Lease's marks, given that its holder died after the last renewal.
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
    /// Admits every first check at once, as if the hub had each mark.
    pub fn at_once() -> Self {
        let board = Arc::new(LeaseBoard::new(super::Clock::start(), Duration::from_secs(6)));
        board.finish_list(&Default::default(), Duration::ZERO);
        let checks = Self::new(ReplicaName::new("ksit-0"), board);
        checks.record_written(u64::MAX);
        checks
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::hub::Clock;

    #[test]
    fn first_check_waits_for_the_marks_of_earlier_processes() {
        let board = Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6)));
        let checks = FirstChecks::new(ReplicaName::new("ksit-0"), board.clone());
        let hostile = TargetKey::new("fleet", "hostile");
        let mut begins = Box::pin(checks.begin(&hostile));
        assert!((&mut begins).now_or_never().is_none(), "it may have crashed other replicas");
        board.finish_list(&Default::default(), Duration::ZERO);
        assert!((&mut begins).now_or_never().is_none(), "it may have crashed this replica");

        let mut lease = Lease::default();
        let now = Timestamp::now().as_second();
        let marks = format!("fleet/hostile={},{}", now - 2, now - 1);
        lease.annotations_mut().insert(ANNOTATION.to_owned(), marks);
        checks.inherit(&lease, false);
        checks.record_written(0);
        let result = begins.now_or_never().expect("all marks are known");
        assert!(matches!(result, Err(Quarantined(_))));
    }

    #[test]
    fn growing_target_is_marked_on_the_lease_while_it_grows() {
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
    async fn slower_writes_widen_the_gap() {
        let board = Arc::new(LeaseBoard::new(Clock::start(), Duration::from_secs(6)));
        let checks = FirstChecks::new(ReplicaName::new("ksit-0"), board);
        for (took, gap) in [(3, 100), (30, 300), (4_000, 500)] {
            checks.dirty.notify_one();
            let started = tokio::time::Instant::now();
            checks.until_dirty(Duration::from_millis(took)).await;
            assert_eq!(started.elapsed(), Duration::from_millis(gap));
        }
    }
}
