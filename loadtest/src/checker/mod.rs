//! Proves from the hub's audit log that the replicas kept their invariants under any fault.
//!
//! ```text
//! audit log ─> accepted writes, in resourceVersion order ─┬─> the map: terms, claimants, epochs, cover
//!                                                         └─> statuses, against the map of their time
//! ```
//!
//! 1. Terms only grow and each has one claimant; the term of an object never decreases; a write of an older term is
//!    refused or, while the API server's cache lacks the new claim, repaired within 2 s.
//! 2. Every version of the map assigns every slot to exactly one member.
//! 3. A status comes from a report of the slot's owner: `reportedBy` owned the slot in the map of `reportEpoch`, which
//!    never decreases on one object.
//! 4. Within a term no status is written twice with the same meaning unless another writer wrote in between.
//!
//! An API server that is killed, or loses etcd, may store a write and never log it. The next write of the object names the
//! version that it replaces, so a missing one is noticed.

mod history;
mod map;
mod meaning;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use testkit::audit::{Audit, AuditEvent};

use history::{Write, accepted};
use map::{Map, MapHistory};
use meaning::meaning;

/// Seconds until the API server's cache has a claim: 0.1 s, plus slack for a busy machine.
const CLAIM_PROPAGATION: f64 = 1.0;

/// Seconds within which a write of an older term must be repaired.
const REPAIR_DEADLINE: f64 = 2.0;

/// Result of a check.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// Descriptions of the violations; empty if all invariants hold.
    pub violations: Vec<String>,
    /// Number of map versions.
    pub maps: usize,
    /// Number of status writes checked.
    pub statuses: usize,
    /// Status writes of an older term that were accepted and repaired in time.
    pub repaired: usize,
    /// Writes of replicas refused by the API server (403, 422).
    pub refused: usize,
}

/// Checks the whole log, or only the requests in `namespace`.
///
/// # Errors
/// Fails if the log can't be read or a line of it is not an audit event.
pub fn check(audit: &Audit, namespace: Option<&str>) -> io::Result<Checked> {
    let is_meant = |event: &AuditEvent| {
        let of_event = event.object_ref.as_ref().map(|object| object.namespace.as_str());
        namespace.is_none() || namespace == of_event
    };
    let events: Vec<AuditEvent> = audit.since(0)?.into_iter().filter(is_meant).collect();
    Ok(check_events(&events))
}

fn check_events(events: &[AuditEvent]) -> Checked {
    let writes = accepted(events);
    let mut checked =
        Checked { refused: events.iter().filter(|event| is_refused(event)).count(), ..Checked::default() };
    // Each installation has its own map and its own terms.
    let installation = |write: &Write| format!("{}/{}", write.namespace, write.name);
    let mut histories: BTreeMap<String, MapHistory> = BTreeMap::new();
    for name in writes.iter().filter(|write| write.resource == "shardmaps").map(installation) {
        let of_map: Vec<&Write> =
            writes.iter().filter(|write| write.resource == "shardmaps" && installation(write) == name).collect();
        histories.entry(name).or_insert_with(|| MapHistory::read(&of_map, &mut checked.violations));
    }
    checked.maps = histories.values().map(MapHistory::len).sum();
    let mut objects: BTreeMap<(&str, &str, &str), Vec<&Write>> = BTreeMap::new();
    for write in writes.iter().filter(|write| write.resource != "shardmaps" && write.is_status) {
        objects.entry((&write.resource, &write.namespace, &write.name)).or_default().push(write);
    }
    let logged: BTreeSet<u64> = writes.iter().map(|write| write.version).collect();
    for writes in objects.values_mut() {
        check_repeats(writes, &logged, &mut checked.violations);
        // Writes by a person are not checked.
        writes.retain(|write| write.pod.is_some());
        checked.statuses += writes.len();
        let by = |write: &Write| write.object["status"]["managedBy"].as_str().unwrap_or_default().to_owned();
        for writes in writes.chunk_by(|one, next| by(one) == by(next)) {
            match histories.get(&by(writes[0])) {
                Some(maps) => check_object(writes, maps, &mut checked),
                None => checked.violations.push(format!(
                    "{}: no ShardMap of its managedBy: {}",
                    writes[0].name,
                    by(writes[0])
                )),
            }
        }
    }
    checked
}

fn is_refused(event: &AuditEvent) -> bool {
    let is_write = ["create", "update", "patch"].contains(&event.verb.as_str());
    is_write && event.user.username.starts_with("system:serviceaccount:") && matches!(event.code(), 403 | 422)
}

/// Checks all status writes of one object, oldest first.
fn check_object(writes: &[&Write], maps: &MapHistory, checked: &mut Checked) {
    let (mut term, mut epoch) = (0, 0);
    for (place, write) in writes.iter().enumerate() {
        let what = format!("{}/{} at {}", write.resource, write.name, write.version);
        let mut violation = |text: String| checked.violations.push(format!("{what}: {text}"));
        let status = &write.object["status"];
        let Some(written) = status["coordinatorTerm"].as_i64() else {
            violation("carries no term".to_owned());
            continue;
        };
        if written < term {
            violation(format!("its term decreased from {term} to {written}"));
        }
        term = term.max(written);
        match maps.claimant(written) {
            None => violation(format!("carries term {written}, which no Pod claimed")),
            Some(uid) if write.pod.as_ref() != Some(uid) => {
                violation(format!("carries term {written}, which a Pod other than the writer claimed"));
            }
            Some(_) => {}
        }
        if let Some(now) = maps.at(write.version).filter(|now| written < now.term) {
            let late = write.at - maps.claimed(now.term).unwrap_or(write.at);
            let is_repaired = writes[place..].iter().any(|later| {
                later.object["status"]["coordinatorTerm"].as_i64() >= Some(now.term)
                    && later.at - write.at <= REPAIR_DEADLINE
            });
            match is_repaired && late <= CLAIM_PROPAGATION {
                true => checked.repaired += 1,
                false => violation(format!(
                    "term {written} was written {late:.3} s after term {} was claimed; repaired in time: {is_repaired}",
                    now.term
                )),
            }
        }
        let mut violation = |text: String| checked.violations.push(format!("{what}: {text}"));
        if let Some(found) = report_fault(write, maps, &mut epoch) {
            violation(found);
        }
    }
}

fn check_repeats(writes: &[&Write], logged: &BTreeSet<u64>, violations: &mut Vec<String>) {
    let writer = |write: &Write| {
        let status = &write.object["status"];
        Some((write.pod.clone()?, status["managedBy"].clone(), status["coordinatorTerm"].clone()))
    };
    for (former, write) in writes.iter().zip(&writes[1..]) {
        let is_same_writer = writer(write).is_some() && writer(former) == writer(write);
        let replaces_unlogged = write.base.is_some_and(|base| base > former.version && !logged.contains(&base));
        if is_same_writer && !replaces_unlogged && meaning(&former.object["status"]) == meaning(&write.object["status"])
        {
            let Write { resource, name, version, .. } = write;
            violations.push(format!("{resource}/{name} at {version}: has the same meaning as at {}", former.version));
        }
    }
}

/// Checks `reportedBy` and `reportEpoch` of a status; returns the violation.
fn report_fault(write: &Write, maps: &MapHistory, epoch: &mut i64) -> Option<String> {
    let status = &write.object["status"];
    let reporter = status["reportedBy"].as_str().filter(|reporter| !reporter.is_empty())?;
    let of = status["reportEpoch"].as_i64().unwrap_or_default();
    let former = std::mem::replace(epoch, (*epoch).max(of));
    if of < former {
        return Some(format!("reported in epoch {of} after a report of epoch {former}"));
    }
    let label = write.object["metadata"]["labels"]["ksit.io/slot"].as_str()?;
    let slot = u16::from_str_radix(label, 16).ok()?;
    let owner = maps.epoch(of, write.version).and_then(|map: &Map| map.owner(slot));
    (owner != Some(reporter))
        .then(|| format!("reported by {reporter} in epoch {of}, when slot {label} was owned by {owner:?}"))
}

#[cfg(test)]
mod tests;
