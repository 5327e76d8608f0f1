//! Runs one target: a round per interval and per change of its assignment, and watch events in between.
//!
//! ```text
//! interval, assignment ───────> round ──┐
//! watch: objects changed ─> evaluate ───┼─> History ─> a report, if anything changed
//! watch: a stream has ended ──> round ──┘
//! ```

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::sync::watch::error::RecvError;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::panics::Panics;
use super::pause::{paused, remaining};
use super::round::{self, Access, HubUnavailable, RoundResult};
use super::series::{CONTROLLER, TargetSeries, record_round};
use super::{Assignment, Overdue, ReportUpdate, WorkerContext, since_start};
use crate::domain::backoff::{MAX_BACKOFF, next_round, next_try};
use crate::domain::fit::fit;
use crate::domain::growth::Growth;
use crate::domain::priority::Priority;
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::Epoch;
use crate::domain::report::TargetReport;
use crate::domain::status::report_digest;
use crate::domain::verdict::{History, Outcome, Reach, TargetVerdict};
use crate::hub::{Marked, Quarantined};
use crate::observability::ReconcileResult;
use crate::targets::{Change, Standing};

/// Between two rounds for a token that is to be renewed, whatever keeps it from being.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until it is aborted or the worker drops the sender of `assignments`. `history` is restored from the status,
/// whichever replica wrote that.
pub(super) async fn run(context: Arc<WorkerContext>, mut assignments: watch::Receiver<Assignment>, history: History) {
    let series = TargetSeries::of(&context, &assignments.borrow().target.key);
    let mut task = Task::new(context, history, series);
    while AssertUnwindSafe(task.follow(&mut assignments)).catch_unwind().await.is_err() {
        if task.recover(&mut assignments).await.is_err() {
            return;
        }
    }
}

struct Task {
    context: Arc<WorkerContext>,
    history: History,
    access: Option<Access>,
    growth: Growth,
    /// Marks the target as a suspect on this replica's Lease while that memory grows.
    growth_mark: Option<Marked>,
    began: Instant,
    /// The first round has ended and this process survived it.
    first_check_done: bool,
    panics: Panics,
    /// Consecutive failed reads of the kubeconfig Secret.
    secret_read_failures: u32,
    last_report: Option<Box<TargetReport>>,
    overdue: Arc<Overdue>,
    series: Option<TargetSeries>,
    /// The next scheduled round; its failure counts towards the threshold.
    due: Instant,
    /// Start of the last step.
    stepped: Instant,
    /// Set when a watch ends: failed early rounds since then, and the time of the next one.
    retry: Option<(u32, Instant)>,
}

impl Task {
    fn new(context: Arc<WorkerContext>, history: History, series: Option<TargetSeries>) -> Self {
        let (overdue, due) = (Arc::default(), Instant::now());
        Self {
            context,
            history,
            access: None,
            growth: Growth::new(0, Duration::ZERO),
            began: due,
            growth_mark: None,
            first_check_done: false,
            panics: Panics::default(),
            secret_read_failures: 0,
            last_report: None,
            overdue,
            series,
            due,
            stepped: due,
            retry: None,
        }
    }

    /// Returns when the worker drops the sender.
    async fn follow(&mut self, assignments: &mut watch::Receiver<Assignment>) {
        loop {
            let assignment = assignments.borrow_and_update().clone();
            // Boxed: the future is large and only lives during a round.
            Box::pin(self.step(&assignment)).await;
            loop {
                let next = self.next_step();
                tokio::select! {
                    changed = assignments.changed() => match changed {
                        Ok(()) => {
                            self.due = Instant::now();
                            break;
                        }
                        Err(_) => return,
                    },
                    change = self.next_watch_change() => {
                        if self.on_change(&assignment, change) {
                            break;
                        }
                        // A cluster with a constant stream of events must not monopolise the thread.
                        yield_now().await;
                    }
                    () = sleep_until(next) => break,
                }
            }
        }
    }

    /// Reports a panic outside of a round, and backs off as after a panic in one.
    async fn recover(&mut self, assignments: &mut watch::Receiver<Assignment>) -> Result<(), RecvError> {
        let assignment = assignments.borrow_and_update().clone();
        let failure = Outcome::Failed(self.on_panic(&assignment));
        self.retry = None;
        self.set_due(self.round_delay(assignment.interval.min(MAX_BACKOFF)));
        // Reporting may be the code that panics.
        let concluded = std::panic::catch_unwind(AssertUnwindSafe(|| self.conclude(&assignment, failure)));
        if concluded.is_err() {
            tracing::error!(target = %assignment.target.key, "reporting its verdict panicked");
            // Heartbeats must not confirm the previous verdict.
            self.overdue.set(since_start(), Duration::ZERO);
        }
        tokio::select! {
            () = sleep_until(self.due) => Ok(()),
            changed = assignments.changed() => changed,
        }
    }

    fn next_step(&self) -> Instant {
        let renewal = self.access.as_ref().and_then(Access::renewal_due).map(|due| due.max(self.stepped + PAUSE));
        [self.retry.map(|(_, at)| at), renewal].into_iter().flatten().fold(self.due, Instant::min)
    }

    /// Waits for the next event of the target's watches; `None` if reading it panicked.
    async fn next_watch_change(&mut self) -> Option<Change> {
        match &mut self.access {
            Some(Access { reflector, cluster, .. }) => {
                AssertUnwindSafe(reflector.changed(cluster.limits())).catch_unwind().await.ok()
            }
            None => std::future::pending().await,
        }
    }

    /// Handles a watch event. Returns whether to run a round now.
    fn on_change(&mut self, assignment: &Assignment, change: Option<Change>) -> bool {
        let Some(change) = change else {
            let outcome = Outcome::Failed(self.on_panic(assignment));
            self.conclude_round(assignment, outcome);
            return false;
        };
        self.watch_growth(assignment);
        if let Some(access) = self.access.as_mut().filter(|access| access.reflector.is_complete())
            && self.history.failures == 0
            && let Some(verdicts) = access.evaluate_if_changed(assignment, self.history.last().as_deref())
        {
            self.conclude(assignment, Outcome::Read(verdicts));
        }
        match change {
            Change::Objects => false,
            Change::Ended => {
                self.context.metrics.watches_ended.inc();
                let (failures, at) = self.retry.unwrap_or((0, Instant::now()));
                self.retry = Some((failures, at));
                at <= Instant::now()
            }
        }
    }

    fn retained(&self) -> usize {
        self.access.as_ref().map_or(0, |access| access.reflector.retained())
    }

    fn watch_growth(&mut self, assignment: &Assignment) {
        match self.growth.note(self.retained(), self.began.elapsed()) {
            false => self.growth_mark = None,
            true if self.growth_mark.is_some() => {}
            true => self.growth_mark = Some(self.context.first_checks.mark(&assignment.target.key)),
        }
    }

    /// Runs one round and reports it.
    async fn step(&mut self, assignment: &Assignment) {
        self.panics.round_begins();
        self.stepped = Instant::now();
        let now = Timestamp::now();
        if assignment.target.is_paused(now) {
            self.access = None;
            self.context.clusters.forget(&assignment.target.key);
            self.retry = None;
            self.set_due(remaining(assignment.target.paused_until, now));
            return self.report(assignment, Arc::new(paused(assignment)));
        }
        let context = self.context.clone();
        let mark = match self.first_check_done {
            true => None,
            false => match context.first_checks.begin(&assignment.target.key).await {
                Ok(mark) => Some(mark),
                Err(Quarantined(time)) => return self.quarantine(assignment, time),
            },
        };
        let started = Instant::now();
        let result = self.guarded_round(assignment).await;
        drop(mark);
        let outcome = match result {
            Ok(RoundResult { outcome, access }) => {
                self.access = access;
                if !std::mem::replace(&mut self.first_check_done, true) {
                    // Measure growth from here: a large cluster is not a growing one.
                    self.growth = Growth::new(self.retained(), self.began.elapsed());
                }
                self.secret_read_failures = 0;
                outcome
            }
            Err(unavailable) => {
                let HubUnavailable { error, access } = *unavailable;
                context.metrics.reconciled(CONTROLLER, ReconcileResult::Error, started.elapsed());
                self.access = access;
                return self.retry_after_hub_error(assignment, &error);
            }
        };
        record_round(&context.metrics, self.series.as_ref(), outcome.as_ref(), started.elapsed());
        match outcome {
            Some(Outcome::Failed(failure)) if failure.reason.is_of_replica() => {
                self.retry_after_shortage(assignment, &failure)
            }
            // A dropped watch is retried early; only a failure of the scheduled round counts towards the threshold.
            Some(Outcome::Failed(failure)) if Instant::now() < self.due && failure.reason.is_transient() => {
                let failures = self.retry.map_or(0, |(failures, _)| failures + 1);
                self.retry = Some((failures, Instant::now() + next_try(failures, rand::random())));
            }
            Some(outcome) => {
                self.retry = None;
                self.conclude_round(assignment, outcome);
            }
            None => {
                self.retry = None;
                self.schedule(assignment);
                if let Some(verdict) = self.history.last() {
                    self.report(assignment, verdict);
                }
            }
        }
    }

    /// Failing if the last round failed, whether or not it counted towards the threshold.
    fn standing(&self) -> Standing {
        let is_failing = self.history.failures > 0 || self.retry.is_some_and(|(failures, _)| failures > 0);
        if is_failing { Standing::Failing } else { Standing::Healthy }
    }

    /// Skips the target: reading it may crash this process too.
    fn quarantine(&mut self, assignment: &Assignment, time: Duration) {
        let message = "two replicas died while reading it for the first time; it is tried again within an hour";
        tracing::error!(target = %assignment.target.key, ?time, message);
        let failure = Failure::new(Reason::Quarantined, message);
        self.set_due(time);
        self.conclude(assignment, Outcome::Failed(failure));
    }

    /// Applies an outcome to the history and reports the verdict.
    fn conclude(&mut self, assignment: &Assignment, outcome: Outcome) {
        let verdict = self.history.conclude(&assignment.keys(), outcome, self.context.settings.failure_threshold);
        self.report(assignment, verdict);
    }

    /// Like [`Self::conclude`], and schedules the next round.
    fn conclude_round(&mut self, assignment: &Assignment, outcome: Outcome) {
        let verdict = self.history.conclude(&assignment.keys(), outcome, self.context.settings.failure_threshold);
        self.schedule(assignment);
        self.report(assignment, verdict);
    }

    fn schedule(&mut self, assignment: &Assignment) {
        self.set_due(self.round_delay(assignment.interval));
    }

    fn round_delay(&self, interval: Duration) -> Duration {
        let threshold = self.context.settings.failure_threshold;
        let failures = self.history.failures.max(self.panics.as_failures(threshold));
        next_round(interval, failures, threshold, rand::random())
    }

    /// The round did not run. Retries within the interval: the hub may fail single reads while thousands of first
    /// rounds are due. Warns only about the first failure in a row: an outage fails every target's reads.
    fn retry_after_hub_error(&mut self, assignment: &Assignment, error: &str) {
        if self.secret_read_failures == 0 {
            let target = &assignment.target.key;
            tracing::warn!(%target, error, "can't read the kubeconfig Secret from the hub; trying again");
        }
        let delay = next_try(self.secret_read_failures, rand::random()).min(assignment.interval);
        self.secret_read_failures += 1;
        self.retry = None;
        self.set_due_unobserved(delay);
    }

    /// This replica lacked a resource to check the target. That is not an observation, so the last one ages.
    fn retry_after_shortage(&mut self, assignment: &Assignment, failure: &Failure) {
        self.context.shortage.warn(failure);
        self.retry = None;
        self.set_due_unobserved(next_round(assignment.interval, 0, 1, rand::random()));
    }

    /// The target was observed now; its next round is due after `time`.
    fn set_due(&mut self, time: Duration) {
        self.set_due_unobserved(time);
        self.overdue.set(since_start(), time.max(self.context.settings.interval));
    }

    /// Like [`Self::set_due`] without a new observation: the time at which the target is overdue stays.
    fn set_due_unobserved(&mut self, time: Duration) {
        self.due = Instant::now() + time;
    }

    /// Runs a round and catches its panic: one bad target must not affect the others.
    async fn guarded_round(&mut self, assignment: &Assignment) -> Result<RoundResult, Box<HubUnavailable>> {
        let (context, standing) = (self.context.clone(), self.standing());
        let (access, last) = (self.access.take(), self.history.last());
        let round = {
            let _in_progress = context.health.round();
            AssertUnwindSafe(round::run(&context, assignment, access, standing, last.as_deref())).catch_unwind().await
        };
        round.unwrap_or_else(|_| Ok(RoundResult::failed(self.on_panic(assignment), None)))
    }

    fn on_panic(&mut self, assignment: &Assignment) -> Failure {
        let failure = self.panics.add();
        self.access = None;
        self.context.metrics.round_panics.inc();
        self.context.clusters.forget(&assignment.target.key);
        let panics = self.panics.in_a_row();
        tracing::error!(target = %assignment.target.key, panics, "reading the cluster panicked");
        failure
    }

    /// Queues a report unless it equals the last one.
    fn report(&mut self, assignment: &Assignment, verdict: Arc<TargetVerdict>) {
        let next = self.due.saturating_duration_since(Instant::now());
        let access = self.access.as_ref();
        // An unreachable target has no check mode.
        let is_connected = verdict.reach == Reach::Connected;
        let (verdict, omitted) = fit(&verdict);
        // Until its first round succeeds, a target is as the former owner left it: to say otherwise would be two writes.
        self.history.mode = access.and_then(Access::mode).or(self.history.mode.take());
        let mode = self.history.mode.clone().filter(|_| is_connected);
        let (credential_ends, renewal_failure) = access.map(Access::credential_ends).unwrap_or_default();
        let report = TargetReport {
            target: assignment.target.key.clone(),
            verdict,
            omitted,
            mode,
            generation: assignment.target.generation,
            secret_version: access.and_then(|access| access.secret_version.clone()),
            server: access.map(|access| access.cluster.connection().host_display()),
            credential_ends,
            renewal_failure,
            note: access.filter(|_| is_connected).and_then(Access::note),
            reported_by: self.context.settings.replica.clone(),
            epoch: Epoch(0),
            next,
        };
        if self.last_report.as_ref().is_some_and(|last| last.says_the_same(&report)) {
            return;
        }
        let report = Box::new(report);
        self.last_report = Some(report.clone());
        let priority = Priority::of(&report.verdict);
        let digest = report_digest(&report, |tool| assignment.type_of(tool));
        let key = report.target.clone();
        let update = ReportUpdate::Changed { report, digest, overdue: self.overdue.clone() };
        self.context.reports.enqueue(key, update, priority);
    }
}

#[cfg(test)]
#[path = "target_task_tests.rs"]
mod tests;
