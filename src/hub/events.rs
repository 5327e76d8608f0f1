//! Kubernetes Events: one for each transition, never one for each round.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::half_speed::HalfSpeed;
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
        if let Err(error) = half_speed.run(recorder.publish(&event, &object)).await {
            tracing::warn!(%error, name = object.name, "an Event could not be published");
        }
    }
}
