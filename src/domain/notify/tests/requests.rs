//! Requests to a receiver: rate, failures, and changes of the coordinator.

use super::*;

#[test]
fn storm_of_causes_ends_in_a_digest() {
    let mut story = Story::with(slack());
    for name in names(40) {
        story.breaks("c1", name, Reason::ComponentAbsent);
    }
    story.passes(seconds(120));
    assert_eq!((story.requests, story.arrived().len()), (10, 40), "nine messages, and a digest of the other 31");
    story.mends("c1");
    story.passes(seconds(64));
    assert_eq!((story.requests, story.arrived().len()), (20, 40), "in the next minute");
}

#[test]
fn no_minute_has_more_requests_than_allowed() {
    let mut story = Story::with(slack());
    story.spec.max_per_minute = 3;
    story.spec.after = Duration::ZERO;
    let names = names(60);
    let mut minutes = Vec::new();
    for (number, name) in names.iter().enumerate() {
        story.breaks("c1", name, Reason::ComponentAbsent);
        story.passes(seconds(10));
        if number % 6 == 5 {
            minutes.push(std::mem::take(&mut story.requests));
        }
    }
    story.passes(seconds(120));
    assert!(minutes.iter().all(|requests| *requests <= 3), "{minutes:?}");
    assert_eq!(story.arrived().len(), 60, "none is lost");
}

#[test]
fn failing_receiver_is_tried_again_with_pauses_and_loses_nothing() {
    let mut story = Story::with(slack());
    story.works = false;
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(120 + 3_600));
    assert!((15..30).contains(&story.requests), "{} requests in an hour", story.requests);
    let delivered = story.record().delivered.unwrap();
    assert!(!delivered.holds && delivered.reason == "ServerError", "{delivered:?}");
    story.mends("c1");
    story.passes(seconds(120));
    story.works = true;
    story.passes(seconds(300));
    assert_eq!(story.arrived(), [(Kind::Resolved, 1)], "it may have seen an earlier try");
    assert!(story.record().delivered.unwrap().holds);
}

#[test]
fn coordinator_killed_before_the_answer_sends_the_same_again() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(118));
    story.now = Now { clock: story.now.clock + seconds(4), wall: story.now.wall + seconds(4) };
    story.state.observe(&story.spec, &story.faults, story.now);
    let Some(Delivery::One(lost)) = story.state.next(&story.spec, story.now) else { panic!("nothing is due") };
    assert_eq!(story.record().open.len(), 1, "the status has it before it is sent");
    story.changes_coordinator();
    // Meanwhile the first cluster has recovered, and another has the cause.
    story.mends("c1");
    story.breaks("c2", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(10));
    let [again] = &story.arrived[..] else { panic!("{:?}", story.arrived) };
    assert_eq!((&again.id, &again.key), (&lost.id, &lost.key));
}

#[test]
fn new_coordinator_repeats_nothing_and_sends_the_recovery() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    assert_eq!(story.arrived(), [(Kind::Opened, 1)]);
    for _ in 0..5 {
        story.changes_coordinator();
        story.passes(seconds(60));
    }
    assert_eq!(story.arrived(), []);
    story.mends("c1");
    story.passes(seconds(30));
    story.changes_coordinator();
    story.passes(seconds(90));
    assert_eq!(story.arrived.iter().map(|message| message.kind).collect::<Vec<_>>(), [Kind::Resolved]);
}

#[test]
fn alertmanager_gets_every_alert_again_each_minute() {
    let mut story = Story::with(alertmanager());
    names(3).into_iter().for_each(|tool| story.breaks("c1", tool, Reason::ComponentAbsent));
    story.passes(seconds(120));
    assert_eq!((story.requests, story.arrived().len()), (1, 3), "three alerts in one request");
    story.passes(seconds(600));
    assert_eq!((story.requests, story.arrived().len()), (11, 30));
    story.mends("c1");
    story.passes(seconds(62));
    let arrived = story.arrived();
    assert_eq!(arrived[arrived.len() - 3..], [(Kind::Resolved, 1); 3]);
    story.requests = 0;
    story.passes(seconds(600));
    assert_eq!(story.requests, 0, "nothing is left to send");
}

#[test]
fn cause_that_returns_while_its_end_is_sent_is_a_new_one() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    let first = story.arrived[0].key.clone();
    story.mends("c1");
    story.works = false;
    story.passes(seconds(70));
    story.passes(seconds(300));
    // The pause after the failures is over.
    story.state.observe(&story.spec, &story.faults, story.now);
    story.now = Now { clock: story.now.clock + seconds(300), wall: story.now.wall + seconds(300) };
    assert!(matches!(story.state.next(&story.spec, story.now), Some(Delivery::One(end)) if end.kind == Kind::Resolved));
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.state.observe(&story.spec, &story.faults, story.now);
    story.state.on_answer(&story.spec, Ok(()), story.now);
    (story.works, story.arrived) = (true, Vec::new());
    story.passes(seconds(2));
    let [opened] = &story.arrived[..] else { panic!("{:?}", story.arrived) };
    assert!(opened.kind == Kind::Opened && opened.key != first);
}

#[test]
fn new_receiver_gets_what_is_open() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    assert_eq!(story.arrived(), [(Kind::Opened, 1)]);
    story.state.on_change(false);
    story.passes(seconds(10));
    assert_eq!(story.arrived(), [], "the same receiver");
    story.state.on_change(true);
    story.passes(seconds(10));
    assert_eq!(story.arrived(), [(Kind::Opened, 1)]);
}

#[test]
fn open_causes_are_bounded() {
    let mut story = Story::with(slack());
    names(300).into_iter().for_each(|tool| story.breaks("c1", tool, Reason::ComponentAbsent));
    story.passes(seconds(130));
    assert_eq!(story.record().open.len(), MOST);
}
