//! Connects a worker and the coordinator, independent of the transport.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::replica::Incarnation;
use crate::domain::report::{FromWorker, ToWorker};

/// Messages that may wait in each direction of a link.
pub(super) const CAPACITY: usize = 64;

/// The worker's end. The link has ended when `from_coordinator` returns `None`.
pub struct Link {
    pub to_coordinator: mpsc::Sender<FromWorker>,
    pub from_coordinator: mpsc::Receiver<ToWorker>,
    /// Moves the messages; dropped with the link.
    pub(super) _carrier: JoinSet<()>,
}

/// A message received by the coordinator.
#[derive(Debug)]
pub struct Incoming {
    /// Name and UID of the Pod are authenticated, the nonce is not.
    pub sender: Arc<Incarnation>,
    pub message: FromWorker,
    /// Size on the wire; 0 if the message never left the process.
    pub bytes: usize,
    pub replies: mpsc::Sender<ToWorker>,
}

/// Creates a link to the coordinator in the same process.
pub fn local(sender: Incarnation, incoming: mpsc::Sender<Incoming>) -> Link {
    let (to_coordinator, mut messages) = mpsc::channel(CAPACITY);
    let (replies, from_coordinator) = mpsc::channel(CAPACITY);
    let sender = Arc::new(sender);
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        while let Some(message) = messages.recv().await {
            let message = Incoming { sender: sender.clone(), message, bytes: 0, replies: replies.clone() };
            if incoming.send(message).await.is_err() {
                return;
            }
        }
    });
    Link { to_coordinator, from_coordinator, _carrier: carrier }
}
