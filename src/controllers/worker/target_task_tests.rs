//! A target at which the code itself fails.

use super::*;
use crate::controllers::worker::test_kit::{Hub, assignment, context, hub};

/// Why the target is not healthy, by what was reported of it last.
fn said(context: &WorkerContext) -> Option<Reason> {
    let (_, Saying::Concluded { report, .. }) = context.reports.try_take()? else { return None };
    match &report.verdict.reach {
        Reach::Failed(failure) => Some(failure.reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_panic_ends_a_round_and_nothing_else_and_several_are_said() {
    let (state, hub) = hub(Hub::Panics);
    let context = Arc::new(context(hub));
    let mut task = Task { was_read: true, ..Task::new(context.clone(), History::default(), None) };
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
    assert_eq!(task.panics, 0);
    assert_eq!(said(&context), Some(Reason::Unreachable), "nobody listens there, which is an answer");
}

#[tokio::test]
async fn a_target_has_series_of_its_own_until_its_task_ends() {
    let (_state, hub) = hub(Hub::Answers);
    let context = Arc::new(context(hub));
    let series = TargetSeries::of(&context, &assignment().target.key);
    let mut task = Task { was_read: true, ..Task::new(context.clone(), History::default(), series) };
    for _ in 0..context.settings.failure_threshold {
        task.due = Instant::now();
        task.step(&assignment()).await;
    }
    let shown = || context.metrics.render().unwrap();
    let labels = r#"{namespace="fleet",target="c1"}"#;
    assert!(shown().contains(&format!("ksit_target_healthy{labels} 0\n")), "{}", shown());
    assert!(shown().contains(&format!("ksit_target_round_seconds{labels} ")), "{}", shown());
    drop(task);
    assert!(!shown().contains("c1"), "{}", shown());
}
