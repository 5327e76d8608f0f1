//! A cause that a receiver knows of, or is about to.

use std::time::Duration;

use jiff::Timestamp;

use super::Now;
use super::cause::{Cause, Tally};
use super::delivery::{Kind, Message};
use super::record::RecordedCause;
use super::spec::Spec;
use crate::domain::digest::meaning;
use crate::domain::keys::NotifierKey;

/// Time from one message about a cause to the next that says it has grown.
const GROWTH_GAP: Duration = Duration::from_secs(60);

/// A cause has grown when it has this many times the clusters of the last message.
const GROWTH: u32 = 2;

/// A cause that has been reported or is about to be, and has not ended for its receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Open {
    /// Deduplication key of its messages.
    pub(super) key: String,
    /// Type of the Integration; `None` without one.
    pub(super) type_name: Option<String>,
    /// Time since which the first cluster has had it.
    pub(super) since: Timestamp,
    /// The last message that arrived.
    pub(super) told: Option<Told>,
    /// The clusters that have it outside of maintenance, or had it last.
    pub(super) now: Tally,
    /// All clusters that have it are in maintenance.
    pub(super) is_silenced: bool,
    /// Time since which no cluster has had it, on the monotonic clock.
    pub(super) absent_since: Option<Duration>,
    /// Time of its end, if that is to be reported.
    pub(super) ended: Option<Timestamp>,
    /// A message about it may have arrived.
    pub(super) attempted: bool,
}

/// A message that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Time of its arrival.
    pub at: Timestamp,
    /// Clusters that it counted.
    pub clusters: u32,
    /// Messages so far, with this one.
    pub messages: u32,
}

impl Open {
    pub(super) fn new(notifier: &NotifierKey, cause: &Cause, tally: Tally, now: Now) -> Self {
        let since = tally.since.unwrap_or(now.wall);
        Self {
            key: key(notifier, cause, since),
            type_name: tally.type_name.clone(),
            since,
            told: None,
            now: tally,
            is_silenced: false,
            absent_since: None,
            ended: None,
            attempted: false,
        }
    }

    /// As a status has it. The clusters that have it are counted anew.
    pub(super) fn restored(recorded: RecordedCause) -> (Cause, Self) {
        let RecordedCause { cause, key, type_name, since, told } = recorded;
        let now = Tally::default();
        (
            cause,
            Self {
                key,
                type_name,
                since,
                told,
                now,
                is_silenced: false,
                absent_since: None,
                ended: None,
                attempted: true,
            },
        )
    }

    /// As the status has it.
    pub(super) fn recorded(&self, cause: &Cause) -> RecordedCause {
        let Self { key, type_name, since, told, .. } = self;
        RecordedCause {
            cause: cause.clone(),
            key: key.clone(),
            type_name: type_name.clone(),
            since: *since,
            told: told.clone(),
        }
    }

    /// The message about it, for this occasion.
    pub(super) fn message(&self, notifier: &NotifierKey, cause: &Cause, kind: Kind, now: Now) -> Message {
        let number = self.told.as_ref().map_or(0, |told| told.messages) + 1;
        Message {
            id: format!("{}-{number}-{}", self.key, kind.as_str()),
            key: self.key.clone(),
            kind,
            notifier: notifier.clone(),
            cause: cause.clone(),
            type_name: self.type_name.clone(),
            clusters: self.now.clusters,
            names: self.now.names.iter().cloned().collect(),
            others: Vec::new(),
            since: self.since,
            ended: self.ended,
            at: now.wall,
        }
    }

    /// Takes in the clusters that have it now.
    pub(super) fn update(&mut self, tally: Option<Tally>, recovered_after: Duration, now: Now) {
        match tally {
            Some(tally) => {
                (self.absent_since, self.ended) = (None, None);
                self.is_silenced = tally.clusters == 0;
                if !self.is_silenced {
                    self.now = tally;
                }
            }
            None => {
                let absent_since = *self.absent_since.get_or_insert(now.clock);
                if now.clock.saturating_sub(absent_since) >= recovered_after {
                    self.ended.get_or_insert(now.wall);
                }
            }
        }
    }

    /// Whether clusters have it now, in maintenance or not.
    pub(super) fn is_present(&self) -> bool {
        self.absent_since.is_none() && self.ended.is_none() && self.now.clusters > 0
    }

    /// The message about it that is due.
    pub(super) fn due(&self, spec: &Spec, now: Now) -> Option<Kind> {
        if self.ended.is_some() {
            return Some(Kind::Resolved);
        }
        // Not counted yet, in maintenance, or about to end.
        if self.now.clusters == 0 || self.is_silenced || self.absent_since.is_some() {
            return None;
        }
        let Some(told) = &self.told else { return Some(Kind::Opened) };
        let age = if told.at <= now.wall { now.wall.duration_since(told.at).unsigned_abs() } else { Duration::ZERO };
        if spec.remind_every.is_some_and(|every| age >= every) {
            return Some(Kind::Reminder);
        }
        let has_grown = self.now.clusters >= told.clusters.saturating_mul(GROWTH).max(1);
        (has_grown && age >= GROWTH_GAP).then_some(Kind::Grown)
    }

    /// Takes in that a message arrived.
    pub(super) fn on_told(&mut self, clusters: u32, now: Now) {
        let messages = self.told.as_ref().map_or(0, |told| told.messages) + 1;
        let at = Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall);
        self.told = Some(Told { at, clusters, messages });
    }

    /// The cause occurs again although its end has been reported: for the receiver it is another one.
    pub(super) fn begin_again(&mut self, notifier: &NotifierKey, cause: &Cause, now: Now) {
        *self = Self::new(notifier, cause, std::mem::take(&mut self.now), now);
    }
}

/// The same for every coordinator that decides from the same facts.
fn key(notifier: &NotifierKey, cause: &Cause, since: Timestamp) -> String {
    let (notifier, since) = (notifier.to_string(), since.as_second().to_string());
    let integration = cause.integration.as_deref().map(|name| format!("={name}")).unwrap_or_default();
    format!("{:032x}", meaning([&notifier, &integration, cause.phase.as_str(), cause.reason.as_str(), &since]))
}
