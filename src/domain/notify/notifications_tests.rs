use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use super::cause::{Fact, Tool};
use super::delivery::{Delivery, DeliveryFault, Kind, Message};
use super::notifications::{MOST, Notifications};
use super::record::{Record, Standing};
use super::spec::{Receiver, SecretKey, Spec};
use super::{Cause, Now};
use crate::domain::keys::NotifierKey;
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

const NO_LABELS: &BTreeMap<String, String> = &BTreeMap::new();

/// A Notifier, the faults of its namespace, and a receiver that keeps what arrives.
struct Story {
    spec: Spec,
    state: Notifications,
    now: Now,
    faults: Vec<Fact<'static>>,
    arrived: Vec<Message>,
    requests: usize,
    works: bool,
}

fn spec(receiver: Receiver) -> Spec {
    Spec {
        key: NotifierKey::new("fleet", "chat"),
        generation: 1,
        integrations: BTreeSet::new(),
        types: BTreeSet::new(),
        selector: None,
        phases: [Phase::Failed].into(),
        after: seconds(120),
        recovered_after: seconds(60),
        remind_every: None,
        max_per_minute: 10,
        receiver,
    }
}

fn slack() -> Receiver {
    Receiver::Slack { url: SecretKey { name: "slack".to_owned(), key: "url".to_owned() } }
}

fn alertmanager() -> Receiver {
    Receiver::Alertmanager { url: "http://am:9093".to_owned(), labels: BTreeMap::new(), token: None, ca: None }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Story {
    fn with(receiver: Receiver) -> Self {
        let wall = Timestamp::from_second(1_800_000_000).unwrap();
        let now = Now { clock: seconds(1_000), wall };
        let state = Notifications::default();
        Self { spec: spec(receiver), state, now, faults: Vec::new(), arrived: Vec::new(), requests: 0, works: true }
    }

    /// The cluster has the fault from now on.
    fn breaks(&mut self, cluster: &'static str, tool: &'static str, reason: Reason) {
        let tool = Some(Tool { name: tool, type_name: "argocd" });
        let since = self.now.wall;
        let phase = Phase::Failed;
        let fact = Fact { tool, tools: &[], cluster, labels: NO_LABELS, phase, reason, since, silenced: false };
        self.faults.push(fact);
    }

    fn mends(&mut self, cluster: &str) {
        self.faults.retain(|fact| fact.cluster != cluster);
    }

    fn silence(&mut self, silenced: bool) {
        self.faults.iter_mut().for_each(|fact| fact.silenced = silenced);
    }

    /// Looks every two seconds, as the coordinator does.
    fn passes(&mut self, time: Duration) {
        for _ in 0..time.as_secs() / 2 {
            self.now = Now { clock: self.now.clock + seconds(2), wall: self.now.wall + seconds(2) };
            self.look();
        }
    }

    fn look(&mut self) {
        self.state.observe(&self.spec, &self.faults, self.now);
        while let Some(delivery) = self.state.next(&self.spec, self.now) {
            self.requests += 1;
            if !self.works {
                let fault = DeliveryFault::new("ServerError", "the receiver answered 500");
                self.state.on_answer(&self.spec, Err(fault), self.now);
                continue;
            }
            match delivery {
                Delivery::One(message) => self.arrived.push(*message),
                Delivery::Digest(messages) | Delivery::Alerts { messages, .. } => self.arrived.extend(messages),
                Delivery::Test { .. } => unreachable!("only the command sends it"),
            }
            self.state.on_answer(&self.spec, Ok(()), self.now);
        }
    }

    fn record(&self) -> Record {
        self.state.record(1, Standing::after(None, true, "Accepted", String::new(), self.now.wall))
    }

    /// Another coordinator goes on from the status.
    fn changes_coordinator(&mut self) {
        self.state = Notifications::restored(self.record());
    }

    /// Kinds and counts of what has arrived since the last call.
    fn arrived(&mut self) -> Vec<(Kind, u32)> {
        std::mem::take(&mut self.arrived).into_iter().map(|message| (message.kind, message.clusters)).collect()
    }
}

fn names(count: usize) -> Vec<&'static str> {
    (0..count).map(|number| -> &'static str { Box::leak(format!("c{number:03}").into()) }).collect()
}

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
