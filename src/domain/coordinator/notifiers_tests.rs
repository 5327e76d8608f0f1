//! Notifiers and the statuses of targets.

use std::collections::BTreeSet;

use super::super::test_kit::{INSTALLATION, applied, empty_fleet, integration, status_of, target};
use super::*;
use crate::domain::notify::{Delivery, DeliveryFault, Kind, Message, Receiver, SecretKey};
use crate::domain::reason::Reason;
use crate::domain::status::{Condition, ToolStatus, Truth};
use jiff::Timestamp;

fn key() -> NotifierKey {
    NotifierKey::new("fleet", "chat")
}

fn object() -> NotifierObject {
    let spec = Spec {
        key: key(),
        generation: 1,
        integrations: BTreeSet::new(),
        types: BTreeSet::new(),
        selector: None,
        phases: [Phase::Failed].into(),
        after: Duration::ZERO,
        recovered_after: Duration::ZERO,
        remind_every: None,
        max_per_minute: 10,
        receiver: Receiver::Slack { url: SecretKey { name: "chat".to_owned(), key: "url".to_owned() } },
    };
    NotifierObject { key: key(), generation: 1, desired: Ok(spec), record: None, managed_by: None }
}

/// A status with one tool, or without the connection.
fn failed(tool: Option<&str>) -> TargetStatus {
    let reachable = Condition {
        kind: REACHABLE.to_owned(),
        truth: if tool.is_some() { Truth::True } else { Truth::False },
        reason: Some(if tool.is_some() { Reason::Connected } else { Reason::Unauthorized }),
        message: String::new(),
        since: Timestamp::UNIX_EPOCH,
        generation: Some(1),
    };
    let tool = tool.map(|name| ToolStatus {
        name: name.to_owned(),
        type_name: "argocd".to_owned(),
        phase: Some(Phase::Failed),
        reason: Some(Reason::ComponentAbsent),
        message: String::new(),
        version: None,
        since: Some(Timestamp::UNIX_EPOCH),
        components: Vec::new(),
        healthy_components: Vec::new(),
        resources: Vec::new(),
    });
    TargetStatus { conditions: vec![reachable], tools: tool.into_iter().collect(), ..status_of(Phase::Failed) }
}

/// Targets with these statuses, an Integration that selects all, a Notifier, and no window.
fn fleet(statuses: Vec<TargetStatus>) -> Fleet {
    let mut fleet = empty_fleet();
    let names: Vec<String> = (0..statuses.len()).map(|number| format!("c{number}")).collect();
    for (name, status) in names.iter().zip(statuses) {
        fleet.on_target(applied(target(name, Some(status))));
    }
    fleet.on_integration(applied(integration("argo", &names)));
    fleet.on_integration(applied(integration("mesh", &names)));
    fleet.on_notifier(applied(object()));
    fleet.windows.is_listed = true;
    fleet
}

fn tasks(fleet: &mut Fleet) -> Vec<NotifyTask> {
    let task = |effect| if let Effect::Notify(task) = effect { Some(*task) } else { None };
    std::mem::take(&mut fleet.effects).into_iter().filter_map(task).collect()
}

fn message(task: &NotifyTask) -> &Message {
    match &task.request {
        Some((_, Delivery::One(message))) => message,
        other => panic!("{other:?}"),
    }
}

/// The tasks of a tick.
fn tick(fleet: &mut Fleet) -> Vec<NotifyTask> {
    fleet.advance(Duration::from_secs(2));
    fleet.notify();
    tasks(fleet)
}

fn answer(fleet: &mut Fleet, answer: NotifyAnswer) -> Vec<NotifyTask> {
    fleet.on_notified(&key(), answer);
    tasks(fleet)
}

#[test]
fn tool_that_fails_on_targets_is_one_request_after_one_write() {
    let mut fleet = fleet(vec![failed(Some("argo")), failed(Some("argo")), status_of(Phase::Running)]);
    let [task] = &tick(&mut fleet)[..] else { panic!("one task") };
    assert_eq!((message(task).clusters, message(task).cause.integration.as_deref()), (2, Some("argo")));
    let record = task.record.as_ref().unwrap();
    assert!(record.open[0].key == message(task).key && record.open[0].told.is_none(), "before it is sent");
    assert!(tick(&mut fleet).is_empty(), "one task at a time");
    let [after] = &answer(&mut fleet, NotifyAnswer::Sent(Ok(())))[..] else { panic!("the status") };
    assert!(after.request.is_none() && after.record.as_ref().unwrap().open[0].told.is_some());
    assert!(answer(&mut fleet, NotifyAnswer::Written).is_empty());
    assert!(tick(&mut fleet).is_empty());
}

/// It would be as many causes as there are tools.
#[test]
fn clusters_that_cannot_be_read_are_one_cause_without_a_tool() {
    let mut fleet = fleet(vec![failed(None), failed(None)]);
    let [task] = &tick(&mut fleet)[..] else { panic!("one task") };
    let message = message(task);
    assert_eq!((message.clusters, &message.cause.integration, message.cause.reason), (2, &None, Reason::Unauthorized));
}

#[test]
fn nothing_is_sent_without_a_written_status() {
    let mut fleet = fleet(vec![failed(Some("argo"))]);
    let first = tick(&mut fleet);
    let id = message(&first[0]).id.clone();
    assert!(answer(&mut fleet, NotifyAnswer::Unwritten).is_empty(), "not at once");
    fleet.advance(Duration::from_secs(10));
    let again = tick(&mut fleet);
    assert_eq!(message(&again[0]).id, id);
    assert!(again[0].record.is_some());
    let fault = DeliveryFault::new("ServerError", "hooks.example.com:443 answered 500");
    let after = answer(&mut fleet, NotifyAnswer::Sent(Err(fault)));
    let delivered = after[0].record.as_ref().unwrap().delivered.as_ref().unwrap();
    assert!(!delivered.holds && delivered.reason == "ServerError");
}

#[test]
fn next_coordinator_goes_on_from_the_record() {
    let mut first = fleet(vec![failed(Some("argo"))]);
    let sent = tick(&mut first);
    let id = message(&sent[0]).id.clone();
    let record = sent[0].record.clone();
    let mut next = fleet(vec![failed(Some("argo"))]);
    next.notifiers.clear();
    next.on_notifier(applied(NotifierObject { record, managed_by: Some(INSTALLATION.to_owned()), ..object() }));
    let again = tick(&mut next);
    assert_eq!(message(&again[0]).id, id);
    assert!(again[0].record.is_none(), "the status has it already");
    let after = answer(&mut next, NotifyAnswer::Sent(Ok(())));
    let record = after[0].record.clone();
    // Its successor finds the cluster mended.
    let mut last = fleet(vec![status_of(Phase::Running)]);
    last.notifiers.clear();
    last.on_notifier(applied(NotifierObject { record, ..object() }));
    assert_eq!(message(&tick(&mut last)[0]).kind, Kind::Resolved);
}

#[test]
fn notifier_of_another_installation_is_left_alone() {
    let mut fleet = fleet(vec![failed(Some("argo"))]);
    fleet.notifiers.clear();
    fleet.on_notifier(applied(NotifierObject { managed_by: Some("other/ksit".to_owned()), ..object() }));
    assert!(tick(&mut fleet).is_empty());
}

#[test]
fn invalid_notifier_has_a_status_that_says_so() {
    let mut fleet = fleet(vec![failed(Some("argo"))]);
    fleet.notifiers.clear();
    let desired = Err("spec.after: \"soon\" is not a duration".to_owned());
    fleet.on_notifier(applied(NotifierObject { desired, ..object() }));
    let [task] = &tick(&mut fleet)[..] else { panic!("one task") };
    let accepted = task.record.as_ref().unwrap().accepted.as_ref().unwrap();
    assert!(task.request.is_none() && !accepted.holds && accepted.message.starts_with("spec.after"));
}

#[test]
fn nothing_is_decided_before_the_windows_are_known() {
    let mut fleet = fleet(vec![failed(Some("argo"))]);
    fleet.windows.is_listed = false;
    assert!(tick(&mut fleet).is_empty());
}
