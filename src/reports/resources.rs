//! Converts the managed objects of a report.

use jiff::Timestamp;

use super::codec::Unreadable;
use super::wire;
use crate::domain::managed::{Counts, FailingObject, MAX_KINDS, MAX_WORST, ResourceSummary, is_kind, is_reason};
use crate::domain::object_names::is_object_name;

pub(super) fn encode(summary: ResourceSummary) -> wire::Resources {
    let ResourceSummary { kind, counts, message } = summary;
    let Counts { total, progressing, suspended, failing, unknown, worst } = counts;
    let object = |object: FailingObject| {
        let FailingObject { namespace, name, reason, since } = object;
        wire::FailingObject { namespace, name, reason, since: since.map(Timestamp::as_second) }
    };
    let worst = worst.into_iter().map(object).collect();
    wire::Resources { kind, total, progressing, suspended, failing, unknown, worst, message }
}

/// The kinds of one tool. Names come from a cluster, by way of a peer.
pub(super) fn decode(all: Vec<wire::Resources>) -> Result<Vec<ResourceSummary>, Unreadable> {
    all.into_iter().take(MAX_KINDS).map(decode_one).collect()
}

fn decode_one(resources: wire::Resources) -> Result<ResourceSummary, Unreadable> {
    let wire::Resources { kind, total, progressing, suspended, failing, unknown, worst, message } = resources;
    if !is_kind(&kind) {
        return Err(Unreadable("resources.kind"));
    }
    let object = |object: wire::FailingObject| {
        let wire::FailingObject { namespace, name, reason, since } = object;
        let is_valid = is_object_name(&name) && (namespace.is_empty() || is_object_name(&namespace));
        is_valid.then(|| FailingObject {
            namespace,
            name,
            reason: reason.filter(|reason| is_reason(reason)),
            since: since.and_then(|since| Timestamp::from_second(since).ok()),
        })
    };
    let worst: Option<Vec<FailingObject>> = worst.into_iter().take(MAX_WORST).map(object).collect();
    let worst = worst.ok_or(Unreadable("resources.worst"))?;
    let counts = Counts { total, progressing, suspended, failing, unknown, worst };
    Ok(ResourceSummary { kind, counts, message })
}
