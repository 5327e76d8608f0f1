//! Which causes are reported, and when.

use super::*;

#[test]
fn cause_on_many_clusters_is_one_message() {
    let mut story = Story::with(slack());
    names(200).into_iter().for_each(|name| story.breaks(name, "argocd", Reason::ComponentAbsent));
    story.passes(seconds(118));
    assert_eq!(story.arrived(), [], "not for long enough");
    story.passes(seconds(2));
    assert_eq!(story.arrived.len(), 1);
    let message = &story.arrived[0];
    let cause = Cause { integration: Some("argocd".to_owned()), phase: Phase::Failed, reason: Reason::ComponentAbsent };
    assert_eq!((&message.cause, message.clusters, message.names.len()), (&cause, 200, 10));
    assert_eq!((message.names[0].as_str(), message.names[9].as_str()), ("c000", "c009"));
    story.arrived.clear();
    story.passes(seconds(7_200));
    assert_eq!(story.arrived(), [], "no reminder by default");
    names(200).into_iter().for_each(|name| story.mends(name));
    story.passes(seconds(58));
    assert_eq!(story.arrived(), [], "may come back");
    story.passes(seconds(10));
    assert_eq!(story.arrived(), [(Kind::Resolved, 200)]);
    assert!(story.record().open.is_empty());
}

#[test]
fn fault_that_changes_its_reason_is_not_called_a_recovery_alone() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentNotReady);
    story.passes(seconds(130));
    story.faults[0].reason = Reason::ComponentAbsent;
    story.passes(seconds(70));
    let kinds: Vec<(Kind, Reason)> = story.arrived.iter().map(|message| (message.kind, message.cause.reason)).collect();
    let (old, new) = (Reason::ComponentNotReady, Reason::ComponentAbsent);
    assert_eq!(kinds, [(Kind::Opened, old), (Kind::Opened, new), (Kind::Resolved, old)]);
    let [(other, clusters)] = &story.arrived[2].others[..] else { panic!("{:?}", story.arrived[2]) };
    assert_eq!((other.reason, *clusters), (new, 1));
}

#[test]
fn messages_of_a_cause_share_the_key_and_no_id() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    story.mends("c1");
    story.passes(seconds(70));
    let [opened, resolved] = &story.arrived[..] else { panic!("{:?}", story.arrived) };
    assert_eq!(opened.key, resolved.key);
    assert_ne!(opened.id, resolved.id);
    let first = opened.key.clone();
    story.arrived.clear();
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    assert_ne!(story.arrived[0].key, first, "it is another occurrence");
}

#[test]
fn tool_that_flaps_faster_than_after_is_not_reported() {
    let mut story = Story::with(slack());
    for _ in 0..50 {
        story.breaks("c1", "argocd", Reason::ComponentNotReady);
        story.passes(seconds(60));
        story.mends("c1");
        story.passes(seconds(30));
    }
    assert_eq!(story.arrived(), []);
}

#[test]
fn reported_tool_that_flaps_is_one_cause() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentNotReady);
    story.passes(seconds(130));
    for _ in 0..50 {
        story.mends("c1");
        story.passes(seconds(30));
        story.breaks("c1", "argocd", Reason::ComponentNotReady);
        story.passes(seconds(30));
    }
    assert_eq!(story.arrived(), [(Kind::Opened, 1)]);
    story.mends("c1");
    story.passes(seconds(70));
    assert_eq!(story.arrived(), [(Kind::Resolved, 1)]);
}

#[test]
fn lasting_cause_is_repeated_on_request() {
    let mut story = Story::with(slack());
    story.spec.remind_every = Some(seconds(3_600));
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(3 * 3_600 + 200));
    let kinds = [(Kind::Opened, 1), (Kind::Reminder, 1), (Kind::Reminder, 1), (Kind::Reminder, 1)];
    assert_eq!(story.arrived(), kinds);
}

#[test]
fn cause_that_spreads_is_reported_when_it_doubles() {
    let mut story = Story::with(slack());
    let names = names(64);
    for name in &names {
        story.breaks(name, "argocd", Reason::ComponentAbsent);
        story.passes(seconds(60));
    }
    let counts: Vec<u32> = story.arrived().iter().map(|(_, clusters)| *clusters).collect();
    assert!(counts.len() <= 7 && counts.windows(2).all(|pair| pair[1] >= 2 * pair[0]), "{counts:?}");
}

#[test]
fn maintenance_holds_messages_back_until_it_ends() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.silence(true);
    story.passes(seconds(3_600));
    assert_eq!(story.arrived(), []);
    assert!(story.record().open.is_empty());
    story.silence(false);
    story.passes(seconds(2));
    assert_eq!(story.arrived(), [(Kind::Opened, 1)], "the window ended while the cluster was broken");
}

#[test]
fn maintenance_neither_ends_nor_repeats_a_reported_cause() {
    let mut story = Story::with(slack());
    story.spec.remind_every = Some(seconds(600));
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    assert_eq!(story.arrived(), [(Kind::Opened, 1)]);
    story.silence(true);
    story.passes(seconds(3_600));
    assert_eq!(story.arrived(), [], "neither a recovery that is none, nor a reminder");
    story.mends("c1");
    story.passes(seconds(70));
    assert_eq!(story.arrived(), [(Kind::Resolved, 1)], "a recovery is always sent");
}

#[test]
fn clusters_outside_of_maintenance_are_reported_alone() {
    let mut story = Story::with(slack());
    story.breaks("c1", "argocd", Reason::ComponentAbsent);
    story.silence(true);
    story.breaks("c2", "argocd", Reason::ComponentAbsent);
    story.passes(seconds(130));
    let [message] = &story.arrived[..] else { panic!("{:?}", story.arrived) };
    assert_eq!((message.clusters, &message.names[..]), (1, &["c2".to_owned()][..]));
}

/// The request is under way when the coordinator is killed: it may have arrived or not.
#[test]
fn notifier_selects_tools_phases_and_clusters() {
    let mut wanted = spec(slack());
    let labels: BTreeMap<String, String> = [("env".to_owned(), "prod".to_owned())].into();
    let (argo, flux) = (Tool { name: "cd", type_name: "argocd" }, Tool { name: "gitops", type_name: "flux" });
    let tools = [argo, flux];
    let fact = |tool, phase| Fact {
        tool,
        tools: &tools,
        cluster: "c1",
        labels: &labels,
        phase,
        reason: Reason::ComponentAbsent,
        since: Timestamp::UNIX_EPOCH,
        silenced: false,
    };
    assert!(wanted.wants(&fact(Some(argo), Phase::Failed)) && !wanted.wants(&fact(Some(argo), Phase::Degraded)));
    wanted.integrations = ["cd".to_owned()].into();
    assert!(wanted.wants(&fact(Some(argo), Phase::Failed)) && !wanted.wants(&fact(Some(flux), Phase::Failed)));
    assert!(wanted.wants(&fact(None, Phase::Failed)), "one of the tools on the cluster is selected");
    wanted.types = ["flux".to_owned()].into();
    assert!(wanted.wants(&fact(Some(flux), Phase::Failed)), "either suffices");
    wanted.integrations = ["other".to_owned()].into();
    wanted.types.clear();
    assert!(!wanted.wants(&fact(None, Phase::Failed)));
}
