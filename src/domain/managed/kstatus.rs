//! The rule for objects without an exception: that of kstatus, which Helm, Flux and kpt use.
//!
//! <https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>

use jiff::Timestamp;

use super::rules::{Judgement, State};
use super::value::Value;

/// The state of an object by its conditions.
pub(super) fn judge(object: &Value<'_>, now: Timestamp) -> Judgement {
    let (metadata, status) = (object.get("metadata"), object.get("status"));
    if is_deleting(object) {
        return State::Progressing.into();
    }
    let generation = metadata.and_then(|metadata| metadata.get("generation")?.int());
    let observed = status.and_then(|status| status.get("observedGeneration")?.int());
    let is_outdated = generation.zip(observed).is_some_and(|(generation, observed)| observed < generation);
    let stalled = condition(object, "Stalled").filter(|stalled| truth(stalled) == Some(true));
    if let Some(stalled) = stalled {
        return failing(stalled, now);
    }
    let is_reconciling = condition(object, "Reconciling").is_some_and(|condition| truth(condition) == Some(true));
    if is_outdated || is_reconciling {
        return State::Progressing.into();
    }
    match condition(object, "Ready") {
        Some(ready) => match truth(ready) {
            Some(true) => State::Healthy.into(),
            Some(false) => failing(ready, now),
            None => State::Progressing.into(),
        },
        None => State::Healthy.into(),
    }
}

/// Whether the object has a deletion timestamp.
pub(super) fn is_deleting(object: &Value<'_>) -> bool {
    object.get("metadata").is_some_and(|metadata| metadata.get("deletionTimestamp").is_some())
}

/// The condition that tells best why an object fails.
pub(super) fn telling<'v, 'a>(object: &'v Value<'a>) -> Option<&'v Value<'a>> {
    let stalled = condition(object, "Stalled").filter(|stalled| truth(stalled) == Some(true));
    stalled.or_else(|| condition(object, "Ready").filter(|ready| truth(ready) == Some(false)))
}

/// A failure for the reason of a condition.
pub(super) fn failing(condition: &Value<'_>, now: Timestamp) -> Judgement {
    let reason = condition.get("reason").and_then(Value::text).filter(|reason| is_reason(reason));
    let since = condition.get("lastTransitionTime").and_then(|time| time.text()?.parse().ok());
    Judgement {
        state: State::Failing,
        reason: reason.map(str::to_owned),
        since: since.filter(|since: &Timestamp| *since <= now),
    }
}

/// Whether a cluster's text looks like the reason or the type of a condition, or like a phase: nothing else of it is
/// shown.
pub fn is_reason(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn condition<'v, 'a>(object: &'v Value<'a>, kind: &str) -> Option<&'v Value<'a>> {
    let conditions = object.get("status")?.get("conditions")?;
    conditions.list().iter().find(|condition| condition.get("type").and_then(Value::text) == Some(kind))
}

fn truth(condition: &Value<'_>) -> Option<bool> {
    match condition.get("status")?.text()? {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}
