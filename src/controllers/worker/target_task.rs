//! The task of one target: a round on every change of what is asked and every interval; in between, what watches say.
//!
//! ```text
//! interval, assignment ─> round ──────┐
//! watch: something changed ─> judge ──┼─> History ─> a report, if it says something new
//! watch: a stream has ended ─> round ─┘
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
use super::pause::{paused, until};
use super::round::{self, Access, HubUnavailable, RoundResult};
use super::series::TargetSeries;
use super::{Assignment, Overdue, ReportUpdate, WorkerContext};
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
use crate::targets::Change;

const CONTROLLER: &str = "integrationtarget";

/// Runs until it is aborted, or until the worker drops its side of `assignments`. `history` is what the status says of
/// earlier rounds, by whomever.
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
    /// How much is kept of the target; and its mark, while that grows.
    growth: Growth,
    grows: Option<Marked>,
    began: Instant,
    /// A first round has ended, and this process with it has not.
    was_read: bool,
    panics: Panics,
    /// How often in a row the hub could not be asked for the kubeconfig.
    unasked: u32,
    /// The last report.
    said: Option<Box<TargetReport>>,
    overdue: Arc<Overdue>,
    series: Option<TargetSeries>,
    /// When the next round is due that counts.
    due: Instant,
    /// Since a watch ended: how often it was tried again, and when it is next.
    tries: Option<(u32, Instant)>,
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
            grows: None,
            was_read: false,
            panics: Panics::default(),
            unasked: 0,
            said: None,
            overdue,
            series,
            due,
            tries: None,
        }
    }

    /// Ends when the worker drops its side.
    async fn follow(&mut self, assignments: &mut watch::Receiver<Assignment>) {
        loop {
            let assignment = assignments.borrow_and_update().clone();
            // Large, and gone most of the time.
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
                    change = self.watched() => {
                        if self.on_change(&assignment, change) {
                            break;
                        }
                        // A cluster whose watches always have something keeps no thread from others.
                        yield_now().await;
                    }
                    () = sleep_until(next) => break,
                }
            }
        }
    }

    /// After a panic outside of a round: says so, and waits as after any other.
    async fn recover(&mut self, assignments: &mut watch::Receiver<Assignment>) -> Result<(), RecvError> {
        let assignment = assignments.borrow_and_update().clone();
        let failure = Outcome::Failed(self.on_panic(&assignment));
        self.tries = None;
        self.wait(self.pause(assignment.interval.min(MAX_BACKOFF)));
        // It may be the report that panics.
        let concluded = std::panic::catch_unwind(AssertUnwindSafe(|| self.conclude(&assignment, failure, false)));
        if concluded.is_err() {
            tracing::error!(target = %assignment.target.key, "its verdict can't be reported");
            // Heartbeats must not confirm the last one.
            self.overdue.set(Duration::ZERO);
        }
        tokio::select! {
            () = sleep_until(self.due) => Ok(()),
            changed = assignments.changed() => changed,
        }
    }

    fn next_step(&self) -> Instant {
        self.tries.map_or(self.due, |(_, at)| at.min(self.due))
    }

    /// What the watches of the target say next; a panic on the way is `None`.
    async fn watched(&mut self) -> Option<Change> {
        match &mut self.access {
            Some(Access { reflector, cluster, .. }) => {
                AssertUnwindSafe(reflector.changed(cluster.limits())).catch_unwind().await.ok()
            }
            None => std::future::pending().await,
        }
    }

    /// Whether a round is to be run now.
    fn on_change(&mut self, assignment: &Assignment, change: Option<Change>) -> bool {
        let Some(change) = change else {
            let outcome = Outcome::Failed(self.on_panic(assignment));
            self.conclude(assignment, outcome, true);
            return false;
        };
        self.watch_growth(assignment);
        if let Some(access) = self.access.as_mut().filter(|access| access.reflector.is_complete())
            && self.history.failures == 0
            && let Some(verdicts) = access.judge(assignment)
        {
            self.conclude(assignment, Outcome::Read(verdicts), false);
        }
        match change {
            Change::Objects => false,
            Change::Ended => {
                self.context.metrics.watches_ended.inc();
                let (tries, at) = self.tries.unwrap_or((0, Instant::now()));
                self.tries = Some((tries, at));
                at <= Instant::now()
            }
        }
    }

    fn retained(&self) -> usize {
        self.access.as_ref().map_or(0, |access| access.reflector.retained())
    }

    fn watch_growth(&mut self, assignment: &Assignment) {
        match self.growth.note(self.retained(), self.began.elapsed()) {
            false => self.grows = None,
            true if self.grows.is_some() => {}
            true => self.grows = Some(self.context.first_checks.mark(&assignment.target.key)),
        }
    }

    /// One round and its report.
    async fn step(&mut self, assignment: &Assignment) {
        self.panics.round_begins();
        let now = Timestamp::now();
        if assignment.target.is_paused(now) {
            self.access = None;
            self.context.clusters.forget(&assignment.target.key);
            self.tries = None;
            self.wait(until(assignment.target.paused_until, now));
            return self.report(assignment, Arc::new(paused(assignment)));
        }
        let context = self.context.clone();
        let mark = match self.was_read {
            true => None,
            false => match context.first_checks.begin(&assignment.target.key).await {
                Ok(mark) => Some(mark),
                Err(Quarantined(time)) => return self.leave_alone(assignment, time),
            },
        };
        let started = Instant::now();
        let result = self.guarded_round(assignment, self.is_failing()).await;
        drop(mark);
        let outcome = match result {
            Ok(RoundResult { outcome, access }) => {
                self.access = access;
                if !std::mem::replace(&mut self.was_read, true) {
                    // A large cluster is not one that grows.
                    self.growth = Growth::new(self.retained(), self.began.elapsed());
                }
                self.unasked = 0;
                outcome
            }
            Err(HubUnavailable { error, access }) => {
                context.metrics.reconciled(CONTROLLER, ReconcileResult::Error, started.elapsed());
                self.access = access;
                return self.wait_for_hub(assignment, &error);
            }
        };
        self.count(outcome.as_ref(), started.elapsed());
        match outcome {
            Some(Outcome::Failed(failure)) if failure.reason.is_of_replica() => {
                self.wait_for_replica(assignment, &failure)
            }
            // Whoever has been cut off is tried again soon; only what failed when it was time is a failed round.
            Some(Outcome::Failed(failure)) if Instant::now() < self.due && failure.reason.is_transient() => {
                let tries = self.tries.map_or(0, |(tries, _)| tries + 1);
                self.tries = Some((tries, Instant::now() + next_try(tries, rand::random())));
            }
            Some(outcome) => {
                self.tries = None;
                self.conclude(assignment, outcome, true);
            }
            None => {
                self.tries = None;
                self.schedule(assignment);
                if let Some(verdict) = self.history.last() {
                    self.report(assignment, verdict);
                }
            }
        }
    }

    /// It failed last, whether that counts or not.
    fn is_failing(&self) -> bool {
        self.history.failures > 0 || self.tries.is_some_and(|(tries, _)| tries > 0)
    }

    /// Reading it again might end this process too.
    fn leave_alone(&mut self, assignment: &Assignment, time: Duration) {
        let message = "two replicas ended while they read it for the first time; it is tried again within an hour";
        tracing::error!(target = %assignment.target.key, ?time, message);
        let failure = Failure::new(Reason::Quarantined, message);
        self.wait(time);
        self.conclude(assignment, Outcome::Failed(failure), false);
    }

    /// What is said after one more outcome, which is that of a round or of something that came in between.
    fn conclude(&mut self, assignment: &Assignment, outcome: Outcome, of_round: bool) {
        let verdict = self.history.conclude(&assignment.keys(), outcome, self.context.settings.failure_threshold);
        if of_round {
            self.schedule(assignment);
        }
        self.report(assignment, verdict);
    }

    /// Sets when the next round is due.
    fn schedule(&mut self, assignment: &Assignment) {
        self.wait(self.pause(assignment.interval));
    }

    fn pause(&self, interval: Duration) -> Duration {
        let threshold = self.context.settings.failure_threshold;
        let failures = self.history.failures.max(self.panics.as_failures(threshold));
        next_round(interval, failures, threshold, rand::random())
    }

    /// There was no round yet. Of thousands of targets whose first round is due the hub may fail one: that one isn't to
    /// come an interval after the others. Said once: it may fail all of them, again and again.
    fn wait_for_hub(&mut self, assignment: &Assignment, error: &str) {
        if self.unasked == 0 {
            let target = &assignment.target.key;
            tracing::warn!(%target, error, "the hub can't be asked for the kubeconfig; trying again");
        }
        let wait = next_try(self.unasked, rand::random()).min(assignment.interval);
        self.unasked += 1;
        self.tries = None;
        self.wait_unobserved(wait);
    }

    /// The target was not asked for want of what this replica lacks. That is no observation: what is known of it ages.
    fn wait_for_replica(&mut self, assignment: &Assignment, failure: &Failure) {
        self.context.shortage.tell(failure);
        self.tries = None;
        self.wait_unobserved(next_round(assignment.interval, 0, 1, rand::random()));
    }

    fn wait(&mut self, time: Duration) {
        self.wait_unobserved(time);
        self.overdue.set(time.max(self.context.settings.interval));
    }

    fn wait_unobserved(&mut self, time: Duration) {
        self.due = Instant::now() + time;
    }

    /// A round whose panic ends here: one bad target must not take the others along.
    async fn guarded_round(&mut self, assignment: &Assignment, failing: bool) -> Result<RoundResult, HubUnavailable> {
        let context = self.context.clone();
        let access = self.access.take();
        let round = {
            let _under_way = context.health.round();
            AssertUnwindSafe(round::run(&context, assignment, access, failing)).catch_unwind().await
        };
        match round {
            Ok(result) => result,
            Err(_) => Ok(RoundResult::failed(self.on_panic(assignment), None)),
        }
    }

    fn on_panic(&mut self, assignment: &Assignment) -> Failure {
        let failure = self.panics.add();
        self.access = None;
        self.context.metrics.round_panics.inc();
        self.context.clusters.forget(&assignment.target.key);
        let panics = self.panics.in_a_row();
        tracing::error!(target = %assignment.target.key, panics, "reading a cluster ended in a panic");
        failure
    }

    fn count(&self, outcome: Option<&Outcome>, took: Duration) {
        if let Some(series) = &self.series {
            series.round_took(took);
        }
        let metrics = &self.context.metrics;
        match outcome {
            None | Some(Outcome::Read(_)) => metrics.reconciled(CONTROLLER, ReconcileResult::Success, took),
            Some(Outcome::Failed(failure)) => {
                metrics.reconciled(CONTROLLER, ReconcileResult::Error, took);
                metrics.round_failures.with_label_values(&[failure.reason.as_str()]).inc();
                tracing::debug!(reason = %failure.reason, message = failure.message, "a round failed");
            }
        }
    }

    /// Says what was seen, if that is news.
    fn report(&mut self, assignment: &Assignment, verdict: Arc<TargetVerdict>) {
        let next = self.due.saturating_duration_since(Instant::now());
        let access = self.access.as_ref();
        // Nobody watches what can't be reached.
        let is_connected = verdict.reach == Reach::Connected;
        let (verdict, omitted) = fit(&verdict);
        let report = TargetReport {
            target: assignment.target.key.clone(),
            verdict,
            omitted,
            mode: access.filter(|_| is_connected).and_then(Access::mode),
            generation: assignment.target.generation,
            secret_version: access.map(|access| access.secret_version.clone()),
            server: access.map(|access| access.cluster.connection().host_display()),
            credential_ends: access.and_then(|access| {
                let validity = access.cluster.connection().validity();
                validity.filter(|validity| validity.ends_soon(Timestamp::now())).map(|validity| validity.until)
            }),
            reported_by: self.context.settings.replica.clone(),
            epoch: Epoch(0),
            next,
        };
        if self.said.as_ref().is_some_and(|said| said.says_the_same(&report)) {
            return;
        }
        let report = Box::new(report);
        self.said = Some(report.clone());
        let priority = Priority::of(&report.verdict);
        let digest = report_digest(&report, |tool| assignment.type_of(tool));
        let key = report.target.clone();
        self.context.reports.enqueue(
            key,
            ReportUpdate::Changed { report, digest, overdue: self.overdue.clone() },
            priority,
        );
    }
}

#[cfg(test)]
#[path = "target_task_tests.rs"]
mod tests;
