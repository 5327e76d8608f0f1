//! The status of a `Notifier`, from which the next coordinator goes on.

use jiff::Timestamp;

use super::cause::Cause;
use super::open::Told;

/// Content of the status of a Notifier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Generation of the spec that it is based on.
    pub generation: i64,
    /// Whether the spec is valid.
    pub accepted: Option<Standing>,
    /// Whether the last message arrived; `None` until one was sent.
    pub delivered: Option<Standing>,
    /// Time of the last message that reported something new.
    pub last_delivery: Option<Timestamp>,
    /// Causes that have been reported or are about to be, and have not ended.
    pub open: Vec<RecordedCause>,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether it holds.
    pub holds: bool,
    /// One word.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// Time of the last change of `holds`.
    pub since: Timestamp,
}

/// A cause as the status has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCause {
    /// The cause.
    pub cause: Cause,
    /// Deduplication key of its messages.
    pub key: String,
    /// Type of the Integration; `None` without one.
    pub type_name: Option<String>,
    /// Time since which the first cluster has had it.
    pub since: Timestamp,
    /// The last message that arrived.
    pub told: Option<Told>,
}

impl Standing {
    /// The standing that follows `former`: the time moves only with `holds`.
    pub fn after(former: Option<&Self>, holds: bool, reason: &str, message: String, now: Timestamp) -> Self {
        let since = former.filter(|former| former.holds == holds).map(|former| former.since);
        let in_seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        Self { holds, reason: reason.to_owned(), message, since: since.unwrap_or(in_seconds) }
    }
}
