//! Judges one component by the answers of one round.
//!
//! ```text
//! component, snapshot ─ objects found by labels or name ─ rules of their kind ─> Finding
//!                        workload · service · object
//! ```

mod finding;
mod object;
mod service;
mod workload;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::component::{Component, ComponentKind, Presence};
use super::queries::own_queries;
use super::reason::Reason;
use super::snapshot::{Answer, ObjectRef, Query, Snapshot};
use super::verdict::{ComponentState, Observation};

pub(super) use finding::{Fault, Finding, rule_to_add};
use finding::{Seen, forbidden};

/// Time, and what is remembered from the last verdict on the same tool.
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    /// The present time.
    pub now: Timestamp,
    /// Observations of the last verdict, for the time since which a component has been in its state.
    pub earlier: &'a [Observation],
}

impl Clock<'_> {
    /// Time since which an object has not been healthy, to the second.
    fn unhealthy_since(&self, seen: &Seen<'_>) -> Timestamp {
        let same = |earlier: &&Observation| {
            earlier.kind == seen.kind.into() && earlier.name == seen.name && earlier.namespace == seen.namespace
        };
        let since = self.earlier.iter().find(same).and_then(|earlier| earlier.since);
        since.unwrap_or(Timestamp::from_second(self.now.as_second()).unwrap_or(self.now)).min(self.now)
    }
}

/// The answer to a query for objects of this kind in this namespace.
type Answered<'a> = (ComponentKind, &'a str, &'a Answer);

/// The answers to the queries for a component's own objects.
fn answers<'a>(component: &'a Component, snapshot: &'a Snapshot) -> Vec<Answered<'a>> {
    let answered = |(kind, namespace, query)| Some((kind, namespace, snapshot.get(&query)?));
    own_queries(component).filter_map(answered).collect()
}

/// A listed object with its kind and namespace.
type Listed<'a, T> = (ComponentKind, &'a str, &'a Arc<T>);

/// The objects that the component's finder selects, of those that `of` takes from the answers.
fn pick<'a, T>(
    component: &Component,
    answers: &[Answered<'a>],
    of: fn(&'a Answer) -> &'a [Arc<T>],
    name: fn(&T) -> &str,
    labels: fn(&T) -> &BTreeMap<String, String>,
) -> Vec<Listed<'a, T>> {
    let all = answers
        .iter()
        .flat_map(|(kind, namespace, answer)| of(answer).iter().map(move |object| (*kind, *namespace, object)));
    component.finder.pick(all, |(.., object)| name(object), |(.., object)| labels(object))
}

/// Judges a component. `idle` has the names of optional components that are absent or scaled to zero.
pub(super) fn judge(component: &Component, snapshot: &Snapshot, idle: &BTreeSet<&str>, clock: &Clock) -> Finding {
    let answers = answers(component, snapshot);
    let mut finding = Finding::default();
    finding.merge(workload::judge_all(component, &answers, snapshot, clock));
    finding.merge(service::judge_all(component, &answers, snapshot, idle));
    for (kind, namespace, answer) in answers {
        if let Answer::Object(state) = answer {
            let seen = Seen { component, kind, namespace, name: component.object_name() };
            let is_idle = component.workload.as_deref().is_some_and(|workload| idle.contains(workload));
            finding.merge(match is_idle && !state.deleting {
                true => seen.fine(ComponentState::NotInUse, None),
                false => object::judge(&seen, state, snapshot, clock),
            });
        }
    }
    if !finding.observations.is_empty() {
        return finding;
    }
    // Other namespaces may well not exist, which looks the same to whoever has no rights in them.
    let is_refused = |(_, namespace, query): &(ComponentKind, &str, Query)| {
        *namespace == component.namespace && snapshot.get(query) == Some(&Answer::Forbidden)
    };
    let refused = own_queries(component).find(is_refused);
    match refused {
        Some((kind, namespace, query)) => {
            forbidden(&Seen { component, kind, namespace, name: &component.name }, &query)
        }
        None => absent(component, snapshot),
    }
}

/// The versions of a workload's objects.
pub(super) fn versions_of(component: &Component, snapshot: &Snapshot) -> Vec<String> {
    let found = workload::pick(component, &answers(component, snapshot));
    found.into_iter().filter_map(|(.., workload)| workload.version.as_deref().map(str::to_owned)).collect()
}

fn absent(component: &Component, snapshot: &Snapshot) -> Finding {
    if component.presence == Presence::Optional {
        return Finding::default();
    }
    let reason = match namespace_is_missing(&component.namespace, snapshot) {
        true => Reason::NamespaceMissing,
        false => Reason::ComponentAbsent,
    };
    let namespace = Query::Object(ObjectRef::namespace(&component.namespace));
    let unsure = match snapshot.get(&namespace) {
        Some(Answer::Forbidden) => {
            format!(
                "; nothing was found in namespace {}, which may not exist (ksit may not read namespaces there)",
                component.namespace
            )
        }
        _ => String::new(),
    };
    let seen = Seen { component, kind: component.kind, namespace: &component.namespace, name: &component.name };
    let kinds: Vec<&str> = component.kinds().map(ComponentKind::as_str).collect();
    let message = format!("{} {} is absent{unsure}", kinds.join(" or "), seen.place());
    Finding {
        observations: vec![seen.observe(ComponentState::Absent)],
        faults: vec![Fault::failed(reason, message)],
        ..Finding::default()
    }
}

/// Whether the cluster has no such namespace.
pub(super) fn namespace_is_missing(namespace: &str, snapshot: &Snapshot) -> bool {
    snapshot.get(&Query::Object(ObjectRef::namespace(namespace))) == Some(&Answer::NotFound)
}

/// The namespaces that are being deleted, in which nothing can be created.
pub(super) fn terminating_namespaces(snapshot: &Snapshot) -> impl Iterator<Item = &str> {
    snapshot.iter().filter_map(|(query, answer)| match (query, answer) {
        (Query::Object(object), Answer::Object(state)) if state.deleting && object.is_namespace() => {
            Some(object.name.as_str())
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests;
