//! Kubernetes Events: one for each transition, never one for each round.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::half_speed::HalfSpeed;
use super::prompt_client::PROMPT_TIMEOUT;
use crate::domain::reason::Reason;

/// Waiting events at most; more are dropped with a warning, since the status itself says what is.
const WAITING: usize = 1_000;

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
#[derive(Clone, Debug)]
pub struct EventSink(mpsc::Sender<Transition>);

impl EventSink {
    pub fn channel() -> (Self, mpsc::Receiver<Transition>) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (Self(sender), receiver)
    }

    /// False if there was no room.
    pub fn offer(&self, transition: Transition) -> bool {
        self.0.try_send(transition).is_ok()
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

#[cfg(test)]
mod tests {
    use kube::client::Body;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_hub_that_does_not_answer_keeps_no_turn_for_ever() {
        let silent = tower::service_fn(|_: http::Request<Body>| {
            std::future::pending::<Result<http::Response<Body>, std::convert::Infallible>>()
        });
        let half_speed = HalfSpeed::default();
        let (sink, transitions) = EventSink::channel();
        let object = ObjectReference { namespace: Some("fleet".to_owned()), ..ObjectReference::default() };
        assert!(sink.offer(Transition { object, warning: true, reason: Reason::TimedOut, note: String::new() }));
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
