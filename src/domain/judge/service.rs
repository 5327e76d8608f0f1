//! Judges Services by their endpoints.

use std::collections::BTreeSet;

use super::finding::{Finding, Seen, forbidden};
use super::{Answered, pick};
use crate::domain::component::{Component, MinReady};
use crate::domain::queries::list;
use crate::domain::snapshot::{Answer, ListKind, Service, Snapshot};
use crate::domain::verdict::{ComponentState, Phase};

/// Judges every Service that the component's finder selects.
pub(super) fn judge_all<'a>(
    component: &Component,
    answers: &[Answered<'a>],
    snapshot: &Snapshot,
    idle: &BTreeSet<&str>,
) -> Finding {
    let services = |answer: &'a Answer| match answer {
        Answer::Services(services) => services.as_slice(),
        _ => &[],
    };
    let found = pick(component, answers, services, |service: &Service| &service.name, |service| &service.labels);
    let mut all = Finding::default();
    for (kind, namespace, service) in found {
        all.merge(judge(&Seen { component, kind, namespace, name: &service.name }, service, snapshot, idle));
    }
    all
}

/// Ready endpoints of a Service. `None` if ksit does not read the endpoints of its namespace.
pub(super) fn ready_endpoints(namespace: &str, name: &str, snapshot: &Snapshot) -> Option<u32> {
    let of = |kind: ListKind| match snapshot.get(&list(kind, namespace)) {
        Some(Answer::Endpoints(ready)) => Some(ready.get(name).copied().unwrap_or(0)),
        _ => None,
    };
    of(ListKind::EndpointSlice).or_else(|| of(ListKind::Endpoints))
}

fn judge(seen: &Seen<'_>, service: &Service, snapshot: &Snapshot, idle: &BTreeSet<&str>) -> Finding {
    if service.external {
        return seen.fine(ComponentState::Healthy, Some("an external name".to_owned()));
    }
    let slices = list(ListKind::EndpointSlice, seen.namespace);
    let ready = match ready_endpoints(seen.namespace, &service.name, snapshot) {
        Some(ready) => ready,
        None if snapshot.get(&slices) == Some(&Answer::Forbidden) => return forbidden(seen, &slices),
        None => 0,
    };
    // A share of endpoints has no whole to be taken of.
    let least = match seen.component.min_ready {
        Some(MinReady::Pods(least)) => least,
        _ => 1,
    };
    let workload = seen.component.workload.as_ref().unwrap_or(&seen.component.name);
    let mut finding = if ready >= least {
        seen.fine(ComponentState::Healthy, None)
    } else if ready == 0 && idle.contains(workload.as_str()) {
        seen.fine(ComponentState::NotInUse, Some(format!("{workload} is not in use")))
    } else {
        let why = match least {
            1 => "has no ready endpoints: look at the Pods that it selects".to_owned(),
            least => format!("has {ready} ready endpoints, but at least {least} are required"),
        };
        seen.fault(Phase::Failed, why, None)
    };
    for observation in &mut finding.observations {
        observation.ready = Some(ready);
    }
    finding
}
