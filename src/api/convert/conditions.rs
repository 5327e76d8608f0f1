//! Builds conditions, and shortens messages for statuses.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::domain::escape::escape;
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Maximum length of a message, in characters: some contain names that a cluster chose.
const MAX_MESSAGE_LENGTH: usize = 1_024;

/// Maximum length of a message in `kubectl get`, in characters.
const MAX_BRIEF_LENGTH: usize = 80;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    True,
    False,
    Unknown,
}

pub(super) struct Stamp<'a> {
    pub(super) generation: i64,
    pub(super) now: Timestamp,
    pub(super) former: &'a [Condition],
}

impl Stamp<'_> {
    /// Builds a condition; `lastTransitionTime` changes only with its status.
    pub(super) fn condition(&self, type_: &str, truth: Truth, reason: Reason, message: &str) -> Condition {
        let status = match truth {
            Truth::True => "True",
            Truth::False => "False",
            Truth::Unknown => "Unknown",
        };
        let unchanged = self.former.iter().find(|former| former.type_ == type_ && former.status == status);
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.as_str().to_owned(),
            message: cut(message),
            last_transition_time: unchanged
                .map_or_else(|| Time(in_seconds(self.now)), |former| former.last_transition_time.clone()),
            observed_generation: Some(self.generation),
        }
    }
}

impl Truth {
    /// Returns the status of the condition `Ready`, which Flux, Argo CD and `kubectl wait` interpret as health.
    pub(super) fn of_health(phase: Phase) -> Self {
        match phase.is_healthy() {
            Some(true) => Self::True,
            Some(false) if phase == Phase::Failed => Self::False,
            _ => Self::Unknown,
        }
    }
}

/// Returns when the phase last changed: the time of `former` if it has the same phase, else now.
pub(super) fn transition_time(former: Option<(&String, &String)>, phase: Phase, now: Timestamp) -> String {
    let same = former.filter(|(former, _)| *former == phase.as_str());
    same.map_or_else(|| in_seconds(now).to_string(), |(_, since)| since.clone())
}

/// Truncates to seconds, as Kubernetes stores times.
fn in_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

pub(super) fn timeless(conditions: &[Condition]) -> Vec<Condition> {
    conditions
        .iter()
        .map(|condition| Condition { last_transition_time: Time(Timestamp::UNIX_EPOCH), ..condition.clone() })
        .collect()
}

/// Prepares a message for a status: escaped, since it may be printed with `-o jsonpath`, and cut to the maximum length.
pub(super) fn cut(message: &str) -> String {
    let message = escape(message);
    match message.char_indices().nth(MAX_MESSAGE_LENGTH) {
        None => message.into_owned(),
        Some((end, _)) => format!("{}…", &message[..end]),
    }
}

/// Shortens a message for a column of `kubectl get`, at a word boundary. The condition has the full message.
pub(super) fn brief(message: &str) -> String {
    let message = escape(message);
    if message.chars().nth(MAX_BRIEF_LENGTH).is_none() {
        return message.into_owned();
    }
    let kept: String = message.chars().take(MAX_BRIEF_LENGTH - 1).collect();
    let end = kept.rfind(' ').filter(|end| *end > 0).unwrap_or(kept.len());
    format!("{}…", kept[..end].trim_end_matches([' ', ',', ';', ':']))
}
