//! Tests of verdicts over consecutive rounds.

use super::*;

fn flux() -> IntegrationKey {
    IntegrationKey::new("fleet", "flux")
}

fn running() -> ToolVerdict {
    ToolVerdict::without_observations(Phase::Running, Reason::Healthy, "4/4 components healthy")
}

fn read() -> Outcome {
    Outcome::Read(vec![(flux(), running())])
}

fn fault(reason: Reason) -> Outcome {
    Outcome::Failed(Failure::new(reason, "api.example:6443"))
}

#[test]
fn transient_fault_is_withheld_until_the_threshold() {
    let mut history = History::default();
    let before = history.conclude(&[flux()], read(), 3);
    assert_eq!(before.phase(), Phase::Running);
    for _ in 0..2 {
        assert_eq!(history.conclude(&[flux()], fault(Reason::TimedOut), 3), before);
    }
    let after = history.conclude(&[flux()], fault(Reason::TimedOut), 3);
    assert_eq!(
        after.reach,
        Reach::Failed(Failure::new(Reason::Unreachable, "unreachable: api.example:6443 (TimedOut)"))
    );
    assert_eq!(after.tools[0].1.phase, Phase::Failed);
    assert_eq!(after.tools[0].1.reason, Reason::Unreachable);
}

#[test]
fn longer_outage_keeps_the_verdict() {
    let mut history = History::default();
    let verdicts: Vec<_> = (0..9).map(|_| history.conclude(&[flux()], fault(Reason::ConnectFailed), 3)).collect();
    assert!(verdicts[2..].windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
}

#[test]
fn alternating_causes_keep_the_verdict_until_one_lasts() {
    let mut history = History::default();
    let causes = [Reason::TimedOut, Reason::ConnectFailed, Reason::ServerError];
    let first = (0..3).map(|_| history.conclude(&[flux()], fault(Reason::TimedOut), 3)).last().unwrap();
    for cause in causes.into_iter().cycle().take(20) {
        assert!(Arc::ptr_eq(&history.conclude(&[flux()], fault(cause), 3), &first));
    }
    let after = (0..3).map(|_| history.conclude(&[flux()], fault(Reason::ConnectFailed), 3)).last().unwrap();
    let Reach::Failed(failure) = &after.reach else { panic!("{after:?}") };
    assert_eq!(failure.message, "unreachable: api.example:6443 (ConnectFailed)");
    assert_eq!(after.tools[0].1.message, failure.message);
}

#[test]
fn tool_added_while_causes_alternate_is_unreachable() {
    let mut history = History::default();
    (0..3).for_each(|_| drop(history.conclude(&[], fault(Reason::TimedOut), 3)));
    let verdict = history.conclude(&[flux()], fault(Reason::ConnectFailed), 3);
    assert_eq!((verdict.tools.len(), verdict.tools[0].1.reason), (1, Reason::Unreachable));
}

#[test]
fn successful_round_resets_the_failures() {
    let mut history = History::default();
    for _ in 0..5 {
        history.conclude(&[flux()], fault(Reason::TimedOut), 3);
    }
    assert_eq!(history.conclude(&[flux()], read(), 3).phase(), Phase::Running);
    assert_eq!(history.conclude(&[flux()], fault(Reason::TimedOut), 3).phase(), Phase::Running);
}

#[test]
fn permanent_fault_is_reported_at_once() {
    let mut history = History::default();
    history.conclude(&[flux()], read(), 3);
    let verdict = history.conclude(&[flux()], fault(Reason::Unauthorized), 3);
    assert_eq!(verdict.phase(), Phase::Failed);
    assert_eq!(verdict.tools[0].1.reason, Reason::Unauthorized);
}

#[test]
fn target_is_initializing_before_its_first_answer() {
    let verdict = History::default().conclude(&[flux()], fault(Reason::TimedOut), 3);
    assert_eq!(verdict.phase(), Phase::Initializing);
    assert_eq!(verdict.tools, [(flux(), initializing())]);
}

#[test]
fn tool_added_during_an_outage_waits_for_its_first_check() {
    let mut history = History::default();
    history.conclude(&[], Outcome::Read(vec![]), 3);
    let verdict = history.conclude(&[flux()], fault(Reason::TimedOut), 3);
    assert_eq!(verdict.tools, [(flux(), initializing())]);
}

#[test]
fn worst_counting_tool_gives_the_phase() {
    let tool = |phase| (flux(), ToolVerdict { phase, ..running() });
    let verdict =
        |phases: &[Phase]| TargetVerdict { reach: Reach::Connected, tools: phases.iter().copied().map(tool).collect() };
    assert_eq!(verdict(&[]).phase(), Phase::Running);
    assert_eq!(verdict(&[Phase::Running, Phase::Failed, Phase::Initializing]).phase(), Phase::Failed);
    assert_eq!(verdict(&[Phase::Paused, Phase::NotInstalled, Phase::Running]).phase(), Phase::Running);
}
