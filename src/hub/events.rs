//! Kubernetes Events: one for each transition, never one for each round.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use prometheus::IntCounter;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::half_speed::HalfSpeed;
use super::prompt_client::PROMPT_TIMEOUT;
use crate::domain::reason::Reason;

/// Waiting events at most; more are dropped and counted, since the status itself says what is.
const WAITING: usize = 1_000;

/// Thousands are dropped together: one warning in so much time.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// What the API server takes as a note.
const LONGEST_NOTE: usize = 1_000;

/// An object went from one state to another.
#[derive(Clone, Debug)]
pub struct Transition {
    pub object: ObjectReference,
    pub warning: bool,
    pub reason: Reason,
    pub note: String,
}

/// Takes transitions without waiting.
#[derive(Debug)]
pub struct EventSink {
    transitions: mpsc::Sender<Transition>,
    dropped: IntCounter,
    /// When it was said last that some are dropped.
    said: Option<Instant>,
}

impl EventSink {
    pub fn channel(dropped: IntCounter) -> (Self, mpsc::Receiver<Transition>) {
        let (transitions, receiver) = mpsc::channel(WAITING);
        (Self { transitions, dropped, said: None }, receiver)
    }

    /// The transition gets no Event if there is no room.
    pub fn offer(&mut self, transition: Transition) {
        if self.transitions.try_send(transition).is_ok() {
            return;
        }
        self.dropped.inc();
        if self.said.is_none_or(|said| said.elapsed() >= SAID_EVERY) {
            self.said = Some(Instant::now());
            let dropped = self.dropped.get();
            tracing::warn!(dropped, "too many Events wait, so some transitions get none; the statuses say the same");
        }
    }
}

/// Publishes until the sink is closed, at half speed: the statuses say the same, and sooner. A failed one is logged.
pub async fn publish_events(
    client: Client,
    instance: String,
    half_speed: &HalfSpeed,
    mut transitions: mpsc::Receiver<Transition>,
) {
    let recorder = Recorder::new(client, Reporter { controller: "ksit".into(), instance: Some(instance) });
    while let Some(Transition { object, warning, reason, note }) = transitions.recv().await {
        let event = Event {
            type_: if warning { EventType::Warning } else { EventType::Normal },
            reason: reason.as_str().to_owned(),
            note: Some(note.chars().take(LONGEST_NOTE).collect()),
            action: "Check".to_owned(),
            secondary: None,
        };
        match half_speed.run(timeout(PROMPT_TIMEOUT, recorder.publish(&event, &object))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, name = object.name, "an Event could not be published"),
            Err(error) => tracing::warn!(%error, name = object.name, "the hub did not answer an Event"),
        }
    }
}

/// A sink with a count of its own.
#[cfg(test)]
pub(super) fn sink() -> (EventSink, mpsc::Receiver<Transition>) {
    EventSink::channel(IntCounter::new("dropped", "Dropped.").unwrap())
}

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;

    fn transition() -> Transition {
        let object = ObjectReference { namespace: Some("fleet".to_owned()), ..ObjectReference::default() };
        Transition { object, warning: true, reason: Reason::TimedOut, note: String::new() }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_counted() {
        let (mut sink, transitions) = sink();
        (0..WAITING + 3).for_each(|_| sink.offer(transition()));
        assert_eq!((transitions.len(), sink.dropped.get()), (WAITING, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_does_not_answer_keeps_no_turn_for_ever() {
        let silent = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let half_speed = HalfSpeed::default();
        let (mut sink, transitions) = sink();
        sink.offer(transition());
        let publishing = publish_events(Client::new(silent, "fleet"), "ksit-0".to_owned(), &half_speed, transitions);
        let next = async {
            tokio::task::yield_now().await;
            half_speed.run(async {}).await;
        };
        tokio::select! {
            () = publishing => unreachable!("the sink is open"),
            had_its_turn = timeout(PROMPT_TIMEOUT * 3, next) => had_its_turn.unwrap(),
        }
    }
}
