//! The task of one target: a round on every change and every interval, and a report after each.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::sleep;

use super::round::{self, Access, HubUnavailable, RoundResult};
use super::{Assignment, Saying, WorkerContext};
use crate::api::convert;
use crate::domain::backoff::{MAX_BACKOFF, next_round};
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::Epoch;
use crate::domain::report::TargetReport;
use crate::domain::verdict::{History, Outcome, Phase, Reach, TargetVerdict, ToolVerdict};
use crate::observability::ReconcileResult;

const CONTROLLER: &str = "integrationtarget";

/// Panics in a row after which a target is left alone for longer.
const QUARANTINE_AFTER: u32 = 3;

/// Runs until it is aborted, or until the worker drops its side of `assignments`. `history` is what the status says of
/// earlier rounds, by whomever.
pub(super) async fn run(context: Arc<WorkerContext>, mut assignments: watch::Receiver<Assignment>, history: History) {
    let mut task = Task { context, history, access: None, panics: 0 };
    loop {
        let assignment = assignments.borrow_and_update().clone();
        let wait = task.step(&assignment).await;
        tokio::select! {
            changed = assignments.changed() => if changed.is_err() { return },
            () = sleep(wait) => {}
        }
    }
}

struct Task {
    context: Arc<WorkerContext>,
    history: History,
    access: Option<Access>,
    panics: u32,
}

impl Task {
    /// One round and its report; how long to wait for the next.
    async fn step(&mut self, assignment: &Assignment) -> Duration {
        let now = Timestamp::now();
        if assignment.target.is_paused(now) {
            self.access = None;
            self.context.clusters.forget(&assignment.target.key);
            let wait = until(assignment.target.paused_until, now);
            self.report(assignment, paused(assignment), wait);
            return wait;
        }
        let started = Instant::now();
        let failing = self.history.failures > 0;
        let context = self.context.clone();
        let Some(permit) = context.budget.enter(failing).await else { return MAX_BACKOFF };
        let result = self.guarded_round(assignment, failing).await;
        drop(permit);
        let threshold = context.settings.failure_threshold;
        let concluded = match result {
            Ok(RoundResult { outcome, access }) => {
                self.count(&outcome, started.elapsed());
                self.access = access;
                Some(self.history.conclude(&assignment.keys(), outcome, threshold))
            }
            Err(HubUnavailable(error)) => {
                let target = &assignment.target.key;
                tracing::warn!(%target, error, "the hub can't be asked for the kubeconfig; trying again");
                context.metrics.reconciled(CONTROLLER, ReconcileResult::Error, started.elapsed());
                None
            }
        };
        let failures = self.history.failures.max(if self.panics > 0 { threshold + self.panics } else { 0 });
        let wait = next_round(assignment.interval, failures, threshold, rand::random());
        if let Some(verdict) = concluded {
            self.report(assignment, verdict, wait);
        }
        wait
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
            Ok(result) => {
                self.panics = 0;
                result
            }
            Err(_) => {
                self.panics += 1;
                context.metrics.round_panics.inc();
                self.context.clusters.forget(&assignment.target.key);
                tracing::error!(target = %assignment.target.key, panics = self.panics, "a round ended in a panic");
                Ok(RoundResult { outcome: Outcome::Failed(self.panicked()), access: None })
            }
        }
    }

    fn panicked(&self) -> Failure {
        match self.panics {
            ..QUARANTINE_AFTER => {
                Failure::new(Reason::InvalidAnswer, "reading its answers crashed; this is a bug in ksit")
            }
            _ => {
                Failure::new(Reason::Quarantined, "reading its answers crashed repeatedly; it is tried more rarely now")
            }
        }
    }

    fn count(&self, outcome: &Outcome, took: Duration) {
        let metrics = &self.context.metrics;
        match outcome {
            Outcome::Read(_) => metrics.reconciled(CONTROLLER, ReconcileResult::Success, took),
            Outcome::Failed(failure) => {
                metrics.reconciled(CONTROLLER, ReconcileResult::Error, took);
                metrics.round_failures.with_label_values(&[failure.reason.as_str()]).inc();
                tracing::debug!(reason = %failure.reason, message = failure.message, "a round failed");
            }
        }
    }

    fn report(&self, assignment: &Assignment, verdict: TargetVerdict, next: Duration) {
        let urgent = verdict.phase() == Phase::Failed;
        let key = assignment.target.key.clone();
        let report = TargetReport {
            target: key.clone(),
            verdict,
            generation: assignment.target.generation,
            secret_version: self.access.as_ref().map(|access| access.secret_version.clone()),
            server: self.access.as_ref().map(|access| access.cluster.connection().host_display()),
            reported_by: self.context.settings.replica.clone(),
            epoch: Epoch(0),
            next,
        };
        let digest = convert::digest(&report, |tool| assignment.type_of(tool));
        self.context.reports.post(key, Saying::Concluded(Box::new((report, digest))), urgent);
    }
}

fn paused(assignment: &Assignment) -> TargetVerdict {
    let tool = || ToolVerdict::without_observations(Phase::Paused, Reason::Paused, "the cluster is paused");
    TargetVerdict { reach: Reach::Paused, tools: assignment.keys().into_iter().map(|key| (key, tool())).collect() }
}

/// Time from `now` to the end of the pause; as long as any back-off if it has none.
fn until(end: Option<Timestamp>, now: Timestamp) -> Duration {
    end.and_then(|end| Duration::try_from(end.duration_since(now)).ok())
        .unwrap_or(MAX_BACKOFF)
        .max(Duration::from_millis(10))
}
