//! A target at which the code itself fails.

use super::*;
use crate::controllers::worker::panics::QUARANTINE_AFTER;
use crate::controllers::worker::test_kit::{Hub, assignment, context, hub, hub_of};
use crate::domain::backoff::MAX_BACKOFF;
use crate::domain::verdict::Reach;

/// Why the target is not healthy, by what was reported of it last.
fn said(context: &WorkerContext) -> Option<Reason> {
    let (_, ReportUpdate::Changed { report, .. }) = context.reports.try_dequeue()? else { return None };
    match &report.verdict.reach {
        Reach::Failed(failure) => Some(failure.reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_panic_ends_a_round_and_nothing_else_and_several_are_said() {
    let (state, hub) = hub(Hub::Panics);
    let context = Arc::new(context(hub));
    let mut task = Task::new(context.clone(), History::default(), None);
    for panics in 1..=QUARANTINE_AFTER {
        task.step(&assignment()).await;
        assert_eq!(context.metrics.round_panics.get(), u64::from(panics));
        // The first ones may be of a passing cause, as of any fault.
        let expected = (panics == QUARANTINE_AFTER).then_some(Reason::Quarantined);
        assert_eq!(said(&context), expected, "after {panics}");
    }
    let more_rarely = task.due - Instant::now();
    assert!(more_rarely > 2 * assignment().interval, "{more_rarely:?}");

    state.send_replace(Hub::Answers);
    for _ in 0..context.settings.failure_threshold {
        task.due = Instant::now();
        task.step(&assignment()).await;
    }
    assert_eq!(task.panics.in_a_row(), 0);
    assert_eq!(said(&context), Some(Reason::Unreachable), "nobody listens there, which is an answer");
}

/// An interval that no clock can add: everything after a round panics.
#[tokio::test(start_paused = true)]
async fn panic_outside_of_a_round_backs_off_and_keeps_the_history() {
    let (_state, hub) = hub(Hub::Answers);
    let context = Arc::new(context(hub));
    let known = TargetVerdict { reach: Reach::Connected, tools: Vec::new() };
    let (_assignments, receiver) = watch::channel(Assignment { interval: Duration::MAX, ..assignment() });
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(run(context.clone(), receiver, History::after(known, 3)));
    let mut said = Vec::new();
    while context.metrics.round_panics.get() < u64::from(QUARANTINE_AFTER) {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if let Some((_, ReportUpdate::Changed { report, .. })) = context.reports.try_dequeue() {
            said.push(report.verdict.reach.clone());
        }
    }
    assert!(begun.elapsed() > MAX_BACKOFF, "{:?}", begun.elapsed());
    let Some((Reach::Failed(failure), before)) = said.split_last() else { panic!("{said:?}") };
    assert_eq!(failure.reason, Reason::Quarantined);
    assert_eq!(before.first(), Some(&Reach::Connected), "the first ones may be of a passing cause");
    assert!(tasks.try_join_next().is_none(), "it goes on");
}

/// A target that has just been cut off, and whose next round is due then.
fn cut_off(hub: kube::Client, due: Instant) -> Task {
    let task = Task::new(Arc::new(context(hub)), History::default(), None);
    Task { tries: Some((0, Instant::now())), due, ..task }
}

#[tokio::test]
async fn who_is_tried_in_vain_after_it_was_cut_off_is_failing_though_that_counts_as_no_round() {
    let (_state, hub) = hub(Hub::Answers);
    let mut task = cut_off(hub, Instant::now() + Duration::from_secs(600));
    assert!(!task.is_failing(), "many are cut off that are well");
    task.step(&assignment()).await;
    assert_eq!((task.history.failures, task.is_failing()), (0, true));
}

#[tokio::test]
async fn a_try_that_is_still_under_way_when_a_round_is_due_counts_as_that_round() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (_state, hub) = hub_of(Hub::Answers, silent.local_addr().unwrap().port());
    let mut task = cut_off(hub, Instant::now() + Duration::from_secs(1));
    task.step(&assignment()).await;
    assert_eq!((task.history.failures, task.tries), (1, None), "a handshake has two seconds");
}

#[tokio::test]
async fn while_the_hub_is_away_it_is_asked_soon_and_then_ever_more_rarely() {
    let (state, hub) = hub(Hub::IsAway);
    // One that has just been cut off too has nothing to be tried with.
    let mut task = cut_off(hub, Instant::now());
    let mut waits = Vec::new();
    for _ in 0..10 {
        task.step(&assignment()).await;
        waits.push(task.next_step().saturating_duration_since(Instant::now()).as_secs_f64());
    }
    let most = [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0, 30.0];
    let is_right = |(wait, most): (&f64, &f64)| (0.7 * most..=*most).contains(wait);
    assert!(waits.iter().zip(&most).all(is_right), "{waits:?}");
    assert_eq!(task.history.failures, 0, "that says nothing of the target");
    assert!(!task.was_read, "its first check is still to come");
    state.send_replace(Hub::Answers);
    task.step(&assignment()).await;
    assert!(task.was_read);
}

#[tokio::test]
async fn a_target_has_series_of_its_own_until_its_task_ends() {
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
