//! From the JSON of one page to the small structs that checks read.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::wire::{self, Count, Items, Page, TargetRef};
use crate::domain::snapshot::{ListKind, Service, Workload};

/// Why a page can't be used. Nothing of it goes into a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadPage {
    Invalid,
    TooLarge,
}

/// What a list has brought so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Gathered {
    pub workloads: Vec<Workload>,
    pub services: Vec<Service>,
    /// What is ready behind each Service: a Pod once, whatever the number of slices, ports and address families.
    pub ready: BTreeMap<String, BTreeSet<String>>,
    /// Objects seen, including those that left nothing.
    pub objects: usize,
    /// Labels and endpoints kept: what takes memory beside the objects.
    pub details: usize,
}

/// Adds a page to what was gathered; gives the continue token of the next one.
pub(super) fn add_page(kind: ListKind, body: &[u8], into: &mut Gathered) -> Result<Option<String>, BadPage> {
    match kind {
        ListKind::Deployment => each(body, into, |item, into| add_workload(deployment, item, into)),
        ListKind::StatefulSet => each(body, into, |item, into| add_workload(stateful_set, item, into)),
        ListKind::DaemonSet => each(body, into, |item, into| add_workload(daemon_set, item, into)),
        ListKind::Service => each(body, into, add_service),
        ListKind::EndpointSlice => each(body, into, add_slice),
        ListKind::Endpoints => each(body, into, add_endpoints),
    }
}

/// Whether the body is an object of that name: full, or its metadata only.
pub(super) fn is_object_named(body: &[u8], name: &str) -> bool {
    serde_json::from_slice::<wire::Object>(body)
        .is_ok_and(|object| object.metadata.and_then(|meta| meta.name).as_deref() == Some(name))
}

fn each<'a, T: Deserialize<'a>>(
    body: &'a [u8],
    into: &mut Gathered,
    mut add: impl FnMut(T, &mut Gathered) -> Result<(), BadPage>,
) -> Result<Option<String>, BadPage> {
    let page: Page<'a, T> = serde_json::from_slice(body).map_err(|_| BadPage::Invalid)?;
    if !page.kind.is_some_and(|kind| kind.ends_with("List")) {
        return Err(BadPage::Invalid);
    }
    for item in whole(page.items)? {
        into.objects += 1;
        add(item, into)?;
    }
    Ok(page.metadata.and_then(|meta| meta.continue_token).filter(|token| !token.is_empty()))
}

fn whole<T>(items: Items<T>) -> Result<Vec<T>, BadPage> {
    if items.overflow { Err(BadPage::TooLarge) } else { Ok(items.list) }
}

/// Name, labels and generation. An object without a name is none that the Kubernetes API gives out.
fn identity(meta: Option<wire::Meta>) -> Result<(String, BTreeMap<String, String>, i64), BadPage> {
    let meta = meta.unwrap_or_default();
    let name = meta.name.filter(|name| !name.is_empty()).ok_or(BadPage::Invalid)?;
    let labels = meta.labels.unwrap_or_default().into_iter().map(|(k, v)| (k, v.unwrap_or_default())).collect();
    Ok((name, labels, meta.generation.unwrap_or_default()))
}

/// Desired, ready and updated Pods.
type Counts = (u32, u32, u32);

fn deployment(spec: &wire::WorkloadSpec, status: &wire::WorkloadStatus) -> Counts {
    (count_or(spec.replicas, 1), count_or(status.available_replicas, 0), count_or(status.updated_replicas, 0))
}

/// Servers before 1.22 know no `availableReplicas` here.
fn stateful_set(spec: &wire::WorkloadSpec, status: &wire::WorkloadStatus) -> Counts {
    let ready = status.available_replicas.or(status.ready_replicas);
    (count_or(spec.replicas, 1), count_or(ready, 0), count_or(status.updated_replicas, 0))
}

fn daemon_set(_: &wire::WorkloadSpec, status: &wire::WorkloadStatus) -> Counts {
    (
        count_or(status.desired_number_scheduled, 0),
        count_or(status.number_available, 0),
        count_or(status.updated_number_scheduled, 0),
    )
}

fn count_or(count: Option<Count>, otherwise: u32) -> u32 {
    count.map_or(otherwise, |count| count.0)
}

fn add_workload(
    counts: fn(&wire::WorkloadSpec, &wire::WorkloadStatus) -> Counts,
    item: wire::Workload,
    into: &mut Gathered,
) -> Result<(), BadPage> {
    let (name, labels, generation) = identity(item.metadata)?;
    let status = item.status.unwrap_or_default();
    let (desired, ready, updated) = counts(&item.spec.unwrap_or_default(), &status);
    let observed = status.observed_generation.unwrap_or_default() >= generation;
    let stalled = status.conditions.list.iter().any(|condition| {
        condition.kind.as_deref() == Some("Progressing") && condition.status.as_deref() == Some("False")
    });
    into.details += labels.len();
    into.workloads.push(Workload { name, labels, desired, ready, updated, observed, stalled });
    Ok(())
}

fn add_service(item: wire::Service, into: &mut Gathered) -> Result<(), BadPage> {
    let (name, labels, _) = identity(item.metadata)?;
    let external = item.spec.and_then(|spec| spec.kind).as_deref() == Some("ExternalName");
    into.details += labels.len();
    into.services.push(Service { name, labels, external });
    Ok(())
}

fn add_slice(item: wire::EndpointSlice, into: &mut Gathered) -> Result<(), BadPage> {
    let (_, mut labels, _) = identity(item.metadata)?;
    // A slice without it belongs to no Service.
    let Some(service) = labels.remove("kubernetes.io/service-name") else { return Ok(()) };
    let ready = into.ready.entry(service).or_default();
    for endpoint in whole(item.endpoints)? {
        // Absent means "unknown", which consumers have to take for ready (documentation of EndpointConditions).
        if endpoint.conditions.and_then(|conditions| conditions.ready).unwrap_or(true) {
            let address = endpoint.addresses.list.into_iter().next();
            into.details += usize::from(add_ready(ready, endpoint.target_ref, address));
        }
    }
    Ok(())
}

fn add_endpoints(item: wire::Endpoints, into: &mut Gathered) -> Result<(), BadPage> {
    let (service, ..) = identity(item.metadata)?;
    let ready = into.ready.entry(service).or_default();
    for subset in whole(item.subsets)? {
        for address in whole(subset.addresses)? {
            into.details += usize::from(add_ready(ready, address.target_ref, address.ip));
        }
    }
    Ok(())
}

/// A Pod counts once by its reference: a dual-stack Service has it with two addresses. Without one the address counts.
fn add_ready(ready: &mut BTreeSet<String>, target: Option<TargetRef>, address: Option<String>) -> bool {
    let named = target.and_then(|target| Some(format!("{}/{}", target.kind?, target.name?)));
    named.or(address).is_some_and(|key| ready.insert(key))
}
