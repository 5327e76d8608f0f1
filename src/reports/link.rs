//! Both ends of a conversation, whatever carries it.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::domain::replica::Incarnation;
use crate::domain::report::{FromWorker, ToWorker};

/// Messages that wait in one direction of one link.
pub(super) const WAITING: usize = 64;

/// The worker's end. It is over when `from_coordinator` gives `None`.
pub struct Link {
    pub to_coordinator: mpsc::Sender<FromWorker>,
    pub from_coordinator: mpsc::Receiver<ToWorker>,
    /// What moves the messages; ends with the link.
    pub(super) _carrier: JoinSet<()>,
}

/// One message, as the coordinator gets it.
#[derive(Debug)]
pub struct Incoming {
    /// Name and UID of its Pod are proven, its nonce is claimed.
    pub sender: Arc<Incarnation>,
    pub message: FromWorker,
    /// Its size on the wire; 0 if it never left the process.
    pub bytes: usize,
    pub replies: mpsc::Sender<ToWorker>,
}

/// A link to the coordinator in this very process.
pub fn local(sender: Incarnation, incoming: mpsc::Sender<Incoming>) -> Link {
    let (to_coordinator, mut messages) = mpsc::channel(WAITING);
    let (replies, from_coordinator) = mpsc::channel(WAITING);
    let sender = Arc::new(sender);
    let mut carrier = JoinSet::new();
    carrier.spawn(async move {
        while let Some(message) = messages.recv().await {
            let letter = Incoming { sender: sender.clone(), message, bytes: 0, replies: replies.clone() };
            if incoming.send(letter).await.is_err() {
                return;
            }
        }
    });
    Link { to_coordinator, from_coordinator, _carrier: carrier }
}
