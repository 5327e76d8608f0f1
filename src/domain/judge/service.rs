//! Judges Services by their endpoints.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::finding::{Finding, Seen, forbidden};
use crate::domain::component::{Component, ComponentKind, MinReady};
use crate::domain::queries::list;
use crate::domain::snapshot::{Answer, ListKind, Service, Snapshot};
use crate::domain::verdict::{ComponentState, Phase};

/// Judges every Service that the component's finder selects.
pub(super) fn judge_all<'a>(
    component: &'a Component,
    answers: impl Iterator<Item = (ComponentKind, &'a str, Option<&'a Answer>)> + Clone,
    snapshot: &Snapshot,
    idle: &BTreeSet<&str>,
) -> Finding {
    let all = answers.flat_map(|(kind, namespace, answer)| {
        let services = match answer {
            Some(Answer::Services(services)) => services.as_slice(),
            _ => &[],
        };
        services.iter().map(move |service| (kind, namespace, service))
    });
    let found: Vec<(ComponentKind, &str, &Arc<Service>)> =
        component.finder.pick(all, |(.., service)| &service.name, |(.., service)| &service.labels);
    let mut all = Finding::default();
    for (kind, namespace, service) in found {
        all.merge(judge(&Seen { component, kind, namespace, name: &service.name }, service, snapshot, idle));
    }
    all
}

fn judge(seen: &Seen<'_>, service: &Service, snapshot: &Snapshot, idle: &BTreeSet<&str>) -> Finding {
    if service.external {
        return seen.fine(ComponentState::Healthy, Some("an external name".to_owned()));
    }
    let slices = list(ListKind::EndpointSlice, seen.namespace);
    let endpoints = list(ListKind::Endpoints, seen.namespace);
    let ready = match (snapshot.get(&slices), snapshot.get(&endpoints)) {
        (Some(Answer::Endpoints(ready)), _) | (_, Some(Answer::Endpoints(ready))) => ready.get(&service.name).copied(),
        (Some(Answer::Forbidden), _) => return forbidden(seen, &slices),
        _ => None,
    }
    .unwrap_or(0);
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
