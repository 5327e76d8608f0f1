//! One request to a receiver, and how it may fail.

use jiff::Timestamp;

use super::cause::Cause;
use crate::domain::keys::NotifierKey;

/// One request to a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// A message about one cause.
    One(Box<Message>),
    /// Several in one, where the rate is limited.
    Digest(Vec<Message>),
    /// All alerts of an Alertmanager.
    Alerts {
        /// With the end up to which each holds unless it is sent again.
        messages: Vec<Message>,
        /// That end.
        until: Timestamp,
    },
    /// `ksit notify test`.
    Test {
        /// The Notifier.
        notifier: NotifierKey,
        /// Time of the message.
        at: Timestamp,
        /// Its identity.
        id: String,
    },
}

/// A message about one cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Differs between two messages, and is the same for one that is sent again.
    pub id: String,
    /// The same for all messages about one cause, from its start to its end.
    pub key: String,
    /// Occasion of the message.
    pub kind: Kind,
    /// The Notifier.
    pub notifier: NotifierKey,
    /// The cause.
    pub cause: Cause,
    /// Type of the Integration; `None` without one.
    pub type_name: Option<String>,
    /// Clusters that have it.
    pub clusters: u32,
    /// The first of them by name.
    pub names: Vec<String>,
    /// Other causes that the tool has, and their clusters: it may have changed rather than ended.
    pub others: Vec<(Cause, u32)>,
    /// Time since which the first cluster has had it.
    pub since: Timestamp,
    /// Time of its end.
    pub ended: Option<Timestamp>,
    /// Time of the message.
    pub at: Timestamp,
}

/// Occasion of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The cause is new.
    Opened,
    /// It concerns many more clusters than the last message said.
    Grown,
    /// It lasts.
    Reminder,
    /// No cluster has it any more.
    Resolved,
}

impl Kind {
    /// In identities and types of messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Grown => "grown",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryFault {
    /// One word for a condition.
    pub reason: &'static str,
    /// The cause and the remedy; no part of a URL but its host, and nothing that the receiver answered but its status.
    pub message: String,
}

impl DeliveryFault {
    /// A fault with this reason.
    pub fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self { reason, message: message.into() }
    }
}
