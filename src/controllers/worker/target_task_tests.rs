//! Panics, retries, hub outages and metric series of a target task.

use super::*;
use crate::controllers::worker::panics::QUARANTINE_AFTER;
use crate::controllers::worker::test_kit::{Hub, assignment, context, hub, hub_of};
use crate::domain::backoff::MAX_BACKOFF;
use crate::domain::check_mode::CheckMode;
use crate::domain::verdict::Reach;
use crate::targets::{ClusterManager, Limits, Settings};

/// The failure reason in the latest report; `None` if the target is reachable or nothing was reported.
fn last_reason(context: &WorkerContext) -> Option<Reason> {
    let (_, ReportUpdate::Changed { report, .. }) = context.reports.try_dequeue()? else { return None };
    match &report.verdict.reach {
        Reach::Failed(failure) => Some(failure.reason),
        _ => None,
    }
}

#[tokio::test]
async fn round_panic_is_contained_and_repeated_ones_quarantine() {
    let (state, hub) = hub(Hub::Panics);
    let context = Arc::new(context(hub));
    let mut task = Task::new(context.clone(), History::default(), None);
    for panics in 1..=QUARANTINE_AFTER {
        task.step(&assignment()).await;
        assert_eq!(context.metrics.round_panics.get(), u64::from(panics));
        // The first ones may be transient, like any failure below the threshold.
        let expected = (panics == QUARANTINE_AFTER).then_some(Reason::Quarantined);
        assert_eq!(last_reason(&context), expected, "after {panics}");
    }
    let backoff = task.due - Instant::now();
    assert!(backoff > 2 * assignment().interval, "{backoff:?}");

    state.send_replace(Hub::Answers);
    for _ in 0..context.settings.failure_threshold {
        task.due = Instant::now();
        task.step(&assignment()).await;
    }
    assert_eq!(task.panics.in_a_row(), 0);
    assert_eq!(last_reason(&context), Some(Reason::Unreachable), "nothing listens on that port, which is a result");
}

/// The interval overflows the clock, so everything after a round panics.
#[tokio::test(start_paused = true)]
async fn panic_outside_of_a_round_backs_off_and_keeps_the_history() {
    let (_state, hub) = hub(Hub::Answers);
    let context = Arc::new(context(hub));
    let known = TargetVerdict { reach: Reach::Connected, tools: Vec::new() };
    let (_assignments, receiver) = watch::channel(Assignment { interval: Duration::MAX, ..assignment() });
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(run(context.clone(), receiver, History::after(known, 3)));
    let mut reached = Vec::new();
    while context.metrics.round_panics.get() < u64::from(QUARANTINE_AFTER) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some((_, ReportUpdate::Changed { report, .. })) = context.reports.try_dequeue() {
            reached.push(report.verdict.reach.clone());
        }
    }
    assert!(begun.elapsed() > MAX_BACKOFF, "{:?}", begun.elapsed());
    let Some((Reach::Failed(failure), before)) = reached.split_last() else { panic!("{reached:?}") };
    assert_eq!(failure.reason, Reason::Quarantined);
    assert_eq!(before.first(), Some(&Reach::Connected), "the first ones may be transient");
    assert!(tasks.try_join_next().is_none(), "the task keeps running");
}

/// A target whose watch has just ended and whose next scheduled round is at `due`.
fn disconnected(hub: kube::Client, due: Instant) -> Task {
    let task = Task::new(Arc::new(context(hub)), History::default(), None);
    Task { retry: Some((0, Instant::now())), due, ..task }
}

#[tokio::test]
async fn failed_retry_after_disconnect_marks_failing() {
    let (_state, hub) = hub(Hub::Answers);
    let mut task = disconnected(hub, Instant::now() + Duration::from_secs(600));
    assert!(task.standing() == Standing::Healthy, "healthy clusters end watches too");
    task.step(&assignment()).await;
    assert_eq!(
        (task.history.failures, task.standing()),
        (0, Standing::Failing),
        "failing, without counting as a round"
    );
}

#[tokio::test]
async fn shortage_of_the_replica_blames_no_cluster() {
    let (_state, hub) = hub(Hub::Answers);
    let no_descriptors = Limits::new(Settings { connections: 0, ..Settings::default() });
    let context = WorkerContext { clusters: ClusterManager::new(Arc::new(no_descriptors)), ..context(hub) };
    let mut task = Task::new(Arc::new(context), History::default(), None);
    for _ in 0..4 {
        task.step(&assignment()).await;
    }
    assert_eq!((task.history.failures, task.last_report.is_none()), (0, true));
}

#[tokio::test]
async fn retry_that_outlasts_the_due_time_counts_as_the_round() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_state, hub) = hub_of(Hub::Answers, silent.local_addr().unwrap().port());
    let mut task = disconnected(hub, Instant::now() + Duration::from_secs(1));
    task.step(&assignment()).await;
    assert_eq!((task.history.failures, task.retry), (1, None), "a handshake has two seconds");
}

/// Each such report would be two writes: one now, and one when the target answers.
#[tokio::test]
async fn first_round_that_fails_after_a_takeover_changes_nothing() {
    let (_state, hub) = hub(Hub::Answers);
    let known = TargetVerdict { reach: Reach::Connected, tools: Vec::new() };
    let history = History::after(known.clone(), 3).by(Some(CheckMode::Watch));
    let mut task = Task::new(Arc::new(context(hub)), history, None);
    task.step(&assignment()).await;
    assert_eq!(task.history.failures, 1);
    let report = task.last_report.unwrap();
    assert_eq!((&*report.verdict, &report.mode), (&known, &Some(CheckMode::Watch)));
    assert!(report.server.is_some() && report.secret_version.is_some());
}

#[tokio::test]
async fn secret_reads_back_off_while_the_hub_is_down() {
    let (state, hub) = hub(Hub::Down);
    // A disconnected target has no credential to retry with either.
    let mut task = disconnected(hub, Instant::now());
    let mut waits = Vec::new();
    for _ in 0..10 {
        task.step(&assignment()).await;
        waits.push(task.next_step().saturating_duration_since(Instant::now()).as_secs_f64());
    }
    let most = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0];
    let is_right = |(wait, most): (&f64, &f64)| (0.7 * most..=*most).contains(wait);
    assert!(waits.iter().zip(&most).all(is_right), "{waits:?}");
    assert_eq!(task.history.failures, 0, "a hub failure is no observation of the target");
    assert!(!task.first_check_done, "its first check is still pending");
    state.send_replace(Hub::Answers);
    task.step(&assignment()).await;
    assert!(task.first_check_done);
}

#[tokio::test]
async fn target_series_are_removed_when_the_task_ends() {
    let (_state, hub) = hub(Hub::Answers);
    let context = Arc::new(context(hub));
    let series = TargetSeries::of(&context, &assignment().target.key);
    let mut task = Task::new(context.clone(), History::default(), series);
    for _ in 0..context.settings.failure_threshold {
        task.due = Instant::now();
        task.step(&assignment()).await;
    }
    let shown = || context.metrics.render().unwrap();
    let labels = r#"{namespace="fleet",target="c1"}"#;
    assert!(shown().contains(&format!("ksit_target_round_seconds{labels} ")), "{}", shown());
    drop(task);
    assert!(!shown().contains("c1"), "{}", shown());
}
