//! Publishes Kubernetes Events: one per phase transition, never one per round.

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

/// Events that may wait; more are dropped and counted, since the status has the same information.
const CAPACITY: usize = 1_000;

/// Minimum time between two warnings: thousands of Events are dropped together.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// Characters of a note; the API server limits its length.
const MAX_NOTE_LENGTH: usize = 1_000;

/// A phase change of an object, or of one tool on a target.
#[derive(Clone, Debug)]
pub struct Transition {
    pub object: ObjectReference,
    pub change: PhaseChange,
}

impl Transition {
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

/// Merges the unpublished transitions of one object with `newer` ones. The result has one transition per tool, from its
/// first phase to its last, and none if both are the same.
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

/// Accepts transitions without blocking.
#[derive(Debug)]
pub struct EventSink {
    transitions: mpsc::Sender<Transition>,
    dropped: Dropped,
}

/// Receiving half of an [`EventSink`].
#[derive(Debug)]
pub struct EventQueue {
    transitions: mpsc::Receiver<Transition>,
    dropped: Dropped,
}

impl EventSink {
    /// `dropped` counts the transitions that get no Event.
    pub fn channel(dropped: IntCounter) -> (Self, EventQueue) {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let dropped = Dropped { count: dropped, last_warned: None };
        let queue = EventQueue { transitions: receiver, dropped: dropped.clone() };
        (Self { transitions: sender, dropped }, queue)
    }

    /// Logs the transition and queues its Event, or drops the Event if the queue is full.
    pub fn offer(&mut self, transition: Transition) {
        transition.log();
        if self.transitions.try_send(transition).is_err() {
            self.dropped.record(&"too many wait");
        }
    }
}

/// Counts the transitions that got no Event.
#[derive(Clone, Debug)]
struct Dropped {
    count: IntCounter,
    last_warned: Option<Instant>,
}

impl Dropped {
    fn record(&mut self, why: &dyn Display) {
        self.count.inc();
        if self.last_warned.is_none_or(|last| last.elapsed() >= WARNING_INTERVAL) {
            self.last_warned = Some(Instant::now());
            let dropped = self.count.get();
            tracing::warn!(dropped, %why, "some transitions get no Event; see the statuses instead");
        }
    }
}

/// Publishes Events until the sink is closed, throttled by `duty_cycle`: the statuses have the same information, and
/// earlier. Failed ones are not retried.
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
            note: Some(escape(&transition.note()).chars().take(MAX_NOTE_LENGTH).collect()),
            action: "Check".to_owned(),
            // The recorder aggregates Events with the same objects and reason into one with a count.
            secondary: change.integration.clone().map(|name| integration(name, object.namespace.clone())),
        };
        match duty_cycle.run(timeout(PROMPT_TIMEOUT, recorder.publish(&event, object))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => dropped.record(&cause(&error)),
            Err(_) => dropped.record(&"the hub does not answer"),
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

/// Creates a sink with its own counter.
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
    fn unpublished_transition_that_is_reverted_is_dropped() {
        let (broke, recovered) = (change(Some("flux"), Running, Failed), change(Some("flux"), Failed, Running));
        let other = change(Some("argocd"), Running, Failed);
        let phases = |transitions: Vec<Transition>| -> Vec<_> {
            let changes = transitions.into_iter().map(|one| one.change);
            changes.map(|one| (one.integration.unwrap_or_default(), one.from, one.to)).collect()
        };
        assert_eq!(phases(merge(vec![broke.clone()], vec![recovered])), []);
        let both = phases(merge(vec![broke.clone(), other], vec![change(Some("flux"), Failed, Degraded)]));
        let expected = [("argocd", Running, Failed), ("flux", Running, Degraded)];
        assert_eq!(both, expected.map(|(tool, from, to)| (tool.to_owned(), from, to)));
        assert_eq!(phases(merge(Vec::new(), vec![broke])).len(), 1);
    }

    #[tokio::test]
    async fn events_beyond_the_capacity_are_counted() {
        let (mut sink, queue) = sink();
        (0..CAPACITY + 3).for_each(|_| sink.offer(transition()));
        assert_eq!((queue.waiting(), sink.dropped.count.get()), (CAPACITY, 3));
    }

    #[tokio::test]
    async fn events_that_the_hub_rejects_are_counted() {
        let unreachable = tower::service_fn(|_: http::Request<Body>| {
            std::future::ready(Err::<http::Response<Body>, _>(std::io::Error::other("the hub is down")))
        });
        let (mut sink, queue) = sink();
        let dropped = sink.dropped.count.clone();
        (0..2).for_each(|_| sink.offer(transition()));
        drop(sink);
        publish_events(Client::new(unreachable, "fleet"), "ksit-0".to_owned(), &DutyCycle::default(), queue).await;
        assert_eq!(dropped.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_hub_does_not_hold_the_permit_forever() {
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
            ran = timeout(PROMPT_TIMEOUT * 3, next) => ran.unwrap(),
        }
    }
}
