//! Kubernetes Events: one for each transition, never one for each round.

use std::borrow::Cow;
use std::fmt::Display;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::cause::cause;
use super::duty_cycle::DutyCycle;
use super::prompt_client::PROMPT_TIMEOUT;
use crate::api::Integration;
use crate::domain::escape::escape;
use crate::domain::reason::Reason;
use crate::domain::status::PhaseChange;
#[cfg(test)]
use crate::domain::verdict::Phase;

/// Waiting events at most; more are dropped and counted, since the status itself says what is.
const WAITING: usize = 1_000;

/// Thousands are dropped together: one warning in so much time.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What the API server takes as a note.
const LONGEST_NOTE: usize = 1_000;

/// An object, or one tool on a target, went from one phase to another.
#[derive(Clone, Debug)]
pub struct Transition {
    pub object: ObjectReference,
    pub change: PhaseChange,
}

impl Transition {
    /// One line of the log.
    fn log(&self) {
        let Self { object, change } = self;
        let PhaseChange { integration: tool, from, to, reason, since, .. } = change;
        let name = format!(
            "{}/{}",
            object.namespace.as_deref().unwrap_or_default(),
            object.name.as_deref().unwrap_or_default()
        );
        let is_target = object.kind.as_deref() == Some("IntegrationTarget");
        let integration = if is_target { tool.clone() } else { Some(name.clone()) };
        let target = is_target.then_some(name);
        let after = since.map(|since| format!("{:#}", in_seconds(Timestamp::now().duration_since(since))));
        let note = self.note();
        let note = escape(&note);
        let (from, to, reason) = (from.as_str(), to.as_str(), reason.map_or("", Reason::as_str));
        tracing::info!(target, integration, from, to, reason, after, %note, "phase changed");
    }

    fn note(&self) -> Cow<'_, str> {
        let PhaseChange { integration, message, .. } = &self.change;
        match integration {
            Some(integration) => format!("{integration}: {message}").into(),
            None => message.into(),
        }
    }
}

fn in_seconds(time: SignedDuration) -> SignedDuration {
    SignedDuration::from_secs(time.as_secs())
}

/// The transitions of one object that are still to be published: the earlier ones, which were not, and then `newer`. A
/// tool has one, from its first phase to its last, or none if both are the same.
pub(super) fn merge(earlier: Vec<Transition>, newer: Vec<Transition>) -> Vec<Transition> {
    let mut merged = earlier;
    for mut transition in newer {
        let change = &mut transition.change;
        if let Some(index) = merged.iter().position(|earlier| earlier.change.integration == change.integration) {
            let earlier = merged.remove(index).change;
            (change.from, change.since) = (earlier.from, earlier.since);
        }
        if change.from != change.to {
            merged.push(transition);
        }
    }
    merged
}

/// Takes transitions without waiting.
#[derive(Debug)]
pub struct EventSink {
    transitions: mpsc::Sender<Transition>,
    dropped: Dropped,
}

/// What an [`EventSink`] took.
#[derive(Debug)]
pub struct EventQueue {
    transitions: mpsc::Receiver<Transition>,
    dropped: Dropped,
}

impl EventSink {
    /// `dropped` counts the transitions that get no Event.
    pub fn channel(dropped: IntCounter) -> (Self, EventQueue) {
        let (sender, receiver) = mpsc::channel(WAITING);
        let dropped = Dropped { count: dropped, said: None };
        let queue = EventQueue { transitions: receiver, dropped: dropped.clone() };
        (Self { transitions: sender, dropped }, queue)
    }

    /// Logs the transition. It gets no Event if there is no room.
    pub fn offer(&mut self, transition: Transition) {
        transition.log();
        if self.transitions.try_send(transition).is_err() {
            self.dropped.another(&"too many wait");
        }
    }
}

/// Transitions that got no Event.
#[derive(Clone, Debug)]
struct Dropped {
    count: IntCounter,
    /// When it was said last.
    said: Option<Instant>,
}

impl Dropped {
    fn another(&mut self, why: &dyn Display) {
        self.count.inc();
        if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            self.said = Some(Instant::now());
            let dropped = self.count.get();
            tracing::warn!(dropped, %why, "some transitions get no Event; the statuses say the same");
        }
    }
}

/// Publishes until the sink is closed, at half speed: the statuses say the same, and sooner. None is tried again.
pub async fn publish_events(
    client: Client,
    instance: String,
    duty_cycle: &DutyCycle,
    EventQueue { mut transitions, mut dropped }: EventQueue,
) {
    let recorder = Recorder::new(client, Reporter { controller: "ksit".into(), instance: Some(instance) });
    while let Some(transition) = transitions.recv().await {
        let Transition { object, change } = &transition;
        let event = Event {
            type_: if change.is_warning() { EventType::Warning } else { EventType::Normal },
            reason: change.reason.map_or("Unknown", Reason::as_str).to_owned(),
            note: Some(escape(&transition.note()).chars().take(LONGEST_NOTE).collect()),
            action: "Check".to_owned(),
            // Events of the same objects with the same reason are one with a count.
            secondary: change.integration.clone().map(|name| integration(name, object.namespace.clone())),
        };
        match duty_cycle.run(timeout(PROMPT_TIMEOUT, recorder.publish(&event, object))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => dropped.another(&cause(&error)),
            Err(_) => dropped.another(&"the hub does not answer"),
        }
    }
}

fn integration(name: String, namespace: Option<String>) -> ObjectReference {
    ObjectReference {
        api_version: Some(Integration::api_version(&()).into_owned()),
        kind: Some(Integration::kind(&()).into_owned()),
        name: Some(name),
        namespace,
        ..ObjectReference::default()
    }
}

/// A sink with a count of its own.
#[cfg(test)]
pub(super) fn sink() -> (EventSink, EventQueue) {
    EventSink::channel(IntCounter::new("dropped", "Dropped.").unwrap())
}

#[cfg(test)]
impl EventQueue {
    pub(super) fn waiting(&self) -> usize {
        self.transitions.len()
    }
}

#[cfg(test)]
pub(super) fn change(tool: Option<&str>, from: Phase, to: Phase) -> Transition {
    Transition {
        object: ObjectReference { namespace: Some("fleet".to_owned()), ..ObjectReference::default() },
        change: PhaseChange {
            integration: tool.map(str::to_owned),
            from,
            to,
            reason: Some(Reason::TimedOut),
            message: String::new(),
            since: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;
    use crate::domain::verdict::Phase::{Degraded, Failed, Running};

    fn transition() -> Transition {
        change(None, Running, Failed)
    }

    #[test]
    fn transition_that_was_not_told_and_is_taken_back_is_none() {
        let (broke, mended) = (change(Some("flux"), Running, Failed), change(Some("flux"), Failed, Running));
        let other = change(Some("argocd"), Running, Failed);
        let told = |transitions: Vec<Transition>| -> Vec<_> {
            let changes = transitions.into_iter().map(|one| one.change);
            changes.map(|one| (one.integration.unwrap_or_default(), one.from, one.to)).collect()
        };
        assert_eq!(told(merge(vec![broke.clone()], vec![mended])), []);
        let both = told(merge(vec![broke.clone(), other], vec![change(Some("flux"), Failed, Degraded)]));
        let expected = [("argocd", Running, Failed), ("flux", Running, Degraded)];
        assert_eq!(both, expected.map(|(tool, from, to)| (tool.to_owned(), from, to)));
        assert_eq!(told(merge(Vec::new(), vec![broke])).len(), 1);
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let (mut sink, queue) = sink();
        (0..WAITING + 3).for_each(|_| sink.offer(transition()));
        assert_eq!((queue.waiting(), sink.dropped.count.get()), (WAITING, 3));
    }

    #[tokio::test]
    async fn what_the_hub_does_not_take_is_counted() {
        let away = tower::service_fn(|_: http::Request<Body>| {
            std::future::ready(Err::<http::Response<Body>, _>(std::io::Error::other("the hub is away")))
        });
        let (mut sink, queue) = sink();
        let dropped = sink.dropped.count.clone();
        (0..2).for_each(|_| sink.offer(transition()));
        drop(sink);
        publish_events(Client::new(away, "fleet"), "ksit-0".to_owned(), &DutyCycle::default(), queue).await;
        assert_eq!(dropped.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_does_not_answer_keeps_no_turn_for_ever() {
        let silent = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let duty_cycle = DutyCycle::default();
        let (mut sink, queue) = sink();
        sink.offer(transition());
        let publishing = publish_events(Client::new(silent, "fleet"), "ksit-0".to_owned(), &duty_cycle, queue);
        let next = async {
            tokio::task::yield_now().await;
            duty_cycle.run(async {}).await;
        };
        tokio::select! {
            () = publishing => unreachable!("the sink is open"),
            had_its_turn = timeout(PROMPT_TIMEOUT * 3, next) => had_its_turn.unwrap(),
        }
    }
}
