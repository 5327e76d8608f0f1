//! Judges one component by the answers of one round.

use std::sync::Arc;

use super::component::{Component, ComponentKind, Presence};
use super::queries::{list, own_query};
use super::reason::Reason;
use super::snapshot::{Answer, ListKind, Query, Service, Snapshot, Workload};
use super::verdict::{ComponentState, Observation};

/// One component's observations, and its failure if there is one.
#[derive(Default)]
pub(super) struct Finding {
    pub(super) observations: Vec<Observation>,
    pub(super) fault: Option<(Reason, String)>,
}

pub(super) fn judge(component: &Component, snapshot: &Snapshot) -> Finding {
    match snapshot.get(&own_query(component)) {
        Some(Answer::Workloads(found)) => each(component, snapshot, found, |w| (&w.name, &w.labels), judge_workload),
        Some(Answer::Services(found)) => each(component, snapshot, found, |s| (&s.name, &s.labels), judge_service),
        Some(Answer::Present) => healthy(component, &component.name, None, None),
        Some(Answer::Forbidden) => forbidden(component, &own_query(component)),
        Some(Answer::Endpoints(_) | Answer::NotFound) | None => absent(component, snapshot),
    }
}

/// Judges every object that the component's finder selects by labels or name.
fn each<T>(
    component: &Component,
    snapshot: &Snapshot,
    objects: &[Arc<T>],
    identity: impl Fn(&T) -> (&String, &std::collections::BTreeMap<String, String>),
    judge_one: impl Fn(&Component, &Snapshot, &T) -> Finding,
) -> Finding {
    let found = component.finder.pick(objects, |object| identity(object).0, |object| identity(object).1);
    if found.is_empty() {
        return absent(component, snapshot);
    }
    found.into_iter().map(|object| judge_one(component, snapshot, object)).fold(Finding::default(), |mut all, one| {
        all.observations.extend(one.observations);
        all.fault = all.fault.or(one.fault);
        all
    })
}

fn judge_workload(component: &Component, _: &Snapshot, workload: &Workload) -> Finding {
    let Workload { name, labels: _, desired, ready, updated, observed, stalled } = workload;
    let counts = (Some(*ready), Some(*desired));
    if *desired == 0 && component.kind == ComponentKind::DaemonSet {
        return note(component, name, ComponentState::Healthy, counts, "no node matches it");
    }
    if *desired == 0 && component.presence == Presence::Optional {
        return note(component, name, ComponentState::NotInUse, counts, "scaled to zero");
    }
    if *ready < component.min_ready {
        let why = match (*desired, component.min_ready) {
            (0, _) => "is scaled to 0: scale it up, or make it optional in config".to_owned(),
            (_, 1) => format!("has {ready} of {desired} ready: look at its Pods and events"),
            (_, least) => format!("has {ready} of {desired} ready, but at least {least} are required"),
        };
        return not_ready(component, name, counts, &why);
    }
    if *stalled {
        return not_ready(component, name, counts, "is stuck in a rollout: its progress deadline has passed");
    }
    if !*observed || updated < desired {
        return note(
            component,
            name,
            ComponentState::Progressing,
            counts,
            &format!("rolling out, {updated} of {desired} updated"),
        );
    }
    if ready < desired {
        return note(component, name, ComponentState::Progressing, counts, &format!("{ready} of {desired} ready"));
    }
    healthy(component, name, counts.0, counts.1)
}

fn judge_service(component: &Component, snapshot: &Snapshot, service: &Service) -> Finding {
    if service.external {
        return note(component, &service.name, ComponentState::Healthy, (None, None), "an external name");
    }
    let slices = list(ListKind::EndpointSlice, &component.namespace);
    let endpoints = list(ListKind::Endpoints, &component.namespace);
    let ready = match (snapshot.get(&slices), snapshot.get(&endpoints)) {
        (Some(Answer::Endpoints(ready)), _) | (_, Some(Answer::Endpoints(ready))) => ready.get(&service.name).copied(),
        (Some(Answer::Forbidden), _) => return forbidden(component, &slices),
        _ => None,
    }
    .unwrap_or(0);
    if ready >= component.min_ready {
        return healthy(component, &service.name, Some(ready), None);
    }
    let why = match component.min_ready {
        1 => "has no ready endpoints: look at the Pods that it selects".to_owned(),
        least => format!("has {ready} ready endpoints, but at least {least} are required"),
    };
    not_ready(component, &service.name, (Some(ready), None), &why)
}

fn absent(component: &Component, snapshot: &Snapshot) -> Finding {
    if component.presence == Presence::Optional {
        return Finding::default();
    }
    let reason = match namespace_is_missing(&component.namespace, snapshot) {
        true => Reason::NamespaceMissing,
        false => Reason::ComponentAbsent,
    };
    let unsure = match snapshot.get(&Query::Namespace { name: component.namespace.clone() }) {
        Some(Answer::Forbidden) => {
            format!(
                "; nothing was found in namespace {}, which may not exist (ksit may not read namespaces there)",
                component.namespace
            )
        }
        _ => String::new(),
    };
    Finding {
        observations: vec![observe(component, &component.name, ComponentState::Absent)],
        fault: Some((reason, format!("{} {} is absent{unsure}", component.kind, place(component, &component.name)))),
    }
}

pub(super) fn namespace_is_missing(namespace: &str, snapshot: &Snapshot) -> bool {
    snapshot.get(&Query::Namespace { name: namespace.to_owned() }) == Some(&Answer::NotFound)
}

fn forbidden(component: &Component, query: &Query) -> Finding {
    let message = rule_to_add(query);
    let observation =
        Observation { message: Some(message.clone()), ..observe(component, &component.name, ComponentState::NotSeen) };
    let fault = (component.presence == Presence::Required).then(|| {
        let place = place(component, &component.name);
        (Reason::Forbidden, format!("{} {place} may not be read: {message}", component.kind))
    });
    Finding { observations: vec![observation], fault }
}

/// The RBAC rule to add on the target, verbatim.
fn rule_to_add(query: &Query) -> String {
    match query {
        Query::List { kind, namespace } => {
            let (group, _, resource) = kind.resource();
            format!(
                "add to a Role in namespace {namespace}: apiGroups [\"{group}\"], resources [\"{resource}\"], verbs \
                 [get, list, watch] (or the namespace does not exist)"
            )
        }
        Query::Crd { name } => format!(
            "add to a ClusterRole: apiGroups [\"apiextensions.k8s.io\"], resources [\"customresourcedefinitions\"], \
             resourceNames [\"{name}\"], verbs [get]"
        ),
        Query::Namespace { name } => format!(
            "add to a ClusterRole: apiGroups [\"\"], resources [\"namespaces\"], resourceNames [\"{name}\"], verbs [get]"
        ),
    }
}

fn place(component: &Component, name: &str) -> String {
    if component.namespace.is_empty() { name.to_owned() } else { format!("{}/{name}", component.namespace) }
}

fn observe(component: &Component, name: &str, state: ComponentState) -> Observation {
    Observation {
        kind: component.kind.into(),
        namespace: component.namespace.clone(),
        name: name.to_owned(),
        state,
        ready: None,
        desired: None,
        message: None,
    }
}

fn healthy(component: &Component, name: &str, ready: Option<u32>, desired: Option<u32>) -> Finding {
    let observation = Observation { ready, desired, ..observe(component, name, ComponentState::Healthy) };
    Finding { observations: vec![observation], fault: None }
}

fn note(
    component: &Component,
    name: &str,
    state: ComponentState,
    (ready, desired): (Option<u32>, Option<u32>),
    message: &str,
) -> Finding {
    let observation =
        Observation { ready, desired, message: Some(message.to_owned()), ..observe(component, name, state) };
    Finding { observations: vec![observation], fault: None }
}

fn not_ready(component: &Component, name: &str, (ready, desired): (Option<u32>, Option<u32>), why: &str) -> Finding {
    let observation = Observation {
        ready,
        desired,
        message: Some(why.to_owned()),
        ..observe(component, name, ComponentState::NotReady)
    };
    let fault = format!("{} {} {why}", component.kind, place(component, name));
    Finding { observations: vec![observation], fault: Some((Reason::ComponentNotReady, fault)) }
}
