//! Decides which messages a `Notifier` sends.
//!
//! ```text
//! verdicts of the namespace ─> facts ─┐
//! windows, time ──────────────────────┼─> Notifications ─> record (Notifier.status) ─> delivery ─> receiver
//! answer of the receiver ─────────────┘
//! ```
//!
//! A message is about a *cause*: all clusters on which one tool has one phase for one reason. A cause is put into the
//! status of its Notifier before its first message is sent, and the message stays due until the receiver has answered.
//! A coordinator that takes over reads the causes from there. It may send a message again that has arrived, and then
//! with the same key; it loses none.

mod cause;
mod delivery;
mod notifications;
mod open;
mod pace;
mod record;
mod spec;
#[cfg(test)]
mod tests;

pub use cause::{Cause, Fact, Tool};
pub use delivery::{Delivery, DeliveryFault, Kind, Message};
pub use notifications::Notifications;
pub use open::Told;
pub use record::{Record, RecordedCause, Standing};
pub use spec::{Receiver, SecretKey, Spec};

use std::time::Duration;

use jiff::Timestamp;

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// On the process's own monotonic clock: for pauses.
    pub clock: Duration,
    /// For onsets, which statuses have.
    pub wall: Timestamp,
}
