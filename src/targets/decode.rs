//! Decodes the JSON of a list page or a watch event into the small structs that checks read.

#[cfg(test)]
mod tests;

mod managed;
mod named;
mod pods;
mod workload;

pub(super) use named::{lease, named, served};
pub(super) use pods::pod_trouble;
use workload::{daemon_set, deployment, stateful_set, workload};

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::listed::Listed;
use super::objects::{BadPage, Object, Objects, Slice, name_hash};
use super::parsed::ParsedService;
use super::pool::Pools;
use super::strip_unused::strip_unused;
use super::text::{Labels, Text};
use super::wire::{self, EndpointConditions, Items, Page, TargetRef};
use crate::domain::object_names::{is_label_key, is_label_value, is_object_name};
use crate::domain::snapshot::ListKind;

/// The continue token and resourceVersion of a page.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PageEnd {
    pub continue_token: Option<String>,
    pub version: Option<String>,
}

/// One event of a watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    Put(Object),
    Removed {
        name: String,
    },
    Bookmark,
    /// The bookmark at the end of the initial events.
    EndOfList,
}

/// Decodes a page and adds its objects to `into`.
pub(super) fn add_page(body: &mut Vec<u8>, into: &mut Objects, pools: &Pools) -> Result<PageEnd, BadPage> {
    let kind = match into.listed().clone() {
        Listed::Kind(kind) => kind,
        Listed::Managed(list) => return managed::add_page(body, &list, into),
    };
    match kind {
        ListKind::Deployment => decode_page(body, kind, into, |item| workload(deployment, item, pools)),
        ListKind::StatefulSet => decode_page(body, kind, into, |item| workload(stateful_set, item, pools)),
        ListKind::DaemonSet => decode_page(body, kind, into, |item| workload(daemon_set, item, pools)),
        ListKind::Service => decode_page(body, kind, into, |item| service(item, pools)),
        ListKind::EndpointSlice => decode_page(body, kind, into, |item| slice(item, pools)),
        ListKind::Endpoints => decode_page(body, kind, into, |item| endpoints(item, pools)),
    }
}

/// Decodes one line of a watch. Returns the event and its resourceVersion.
///
/// # Errors
/// [`BadPage::Ended`] for an ERROR event: the watch can't continue, most often because its resourceVersion is too old.
pub(super) fn event<'a>(
    listed: &Listed,
    line: &'a mut Vec<u8>,
    pools: &Pools,
) -> Result<(Event, Option<Text<'a>>), BadPage> {
    let kind = match listed {
        Listed::Kind(kind) => kind,
        Listed::Managed(list) => return managed::event(list, line),
    };
    match kind {
        ListKind::Deployment => decode_event(line, |item| workload(deployment, item, pools)),
        ListKind::StatefulSet => decode_event(line, |item| workload(stateful_set, item, pools)),
        ListKind::DaemonSet => decode_event(line, |item| workload(daemon_set, item, pools)),
        ListKind::Service => decode_event(line, |item| service(item, pools)),
        ListKind::EndpointSlice => decode_event(line, |item| slice(item, pools)),
        ListKind::Endpoints => decode_event(line, |item| endpoints(item, pools)),
    }
}

fn decode_event<'a, T: Deserialize<'a> + wire::Item<'a>>(
    line: &'a mut Vec<u8>,
    read: impl Fn(T) -> Result<Object, BadPage>,
) -> Result<(Event, Option<Text<'a>>), BadPage> {
    if is_error(line) {
        return Err(BadPage::Ended);
    }
    let wire::Line { kind, mut object }: wire::Line<'a, T> = parse(line)?;
    let meta = object.metadata();
    let version = meta.as_mut().and_then(|meta| meta.resource_version.take());
    let event = match &*kind {
        "ADDED" | "MODIFIED" => Event::Put(read(object)?),
        "DELETED" => {
            let name = meta.take().and_then(|meta| meta.name).ok_or(BadPage::Invalid)?;
            Event::Removed { name: name.into_owned() }
        }
        "BOOKMARK" => {
            let annotations = meta.take().and_then(|meta| meta.annotations).unwrap_or_default();
            if annotations.initial_events_end.is_some() { Event::EndOfList } else { Event::Bookmark }
        }
        _ => return Err(BadPage::Invalid),
    };
    Ok((event, version))
}

/// Whether the line is an ERROR event, whose object is a Status. API servers write the type first.
fn is_error(line: &[u8]) -> bool {
    const START: &[u8] = br#"{"type":"ERROR""#;
    line.starts_with(START)
}

/// Whether the body is a Status, as an API server sends with an error. API servers write the type first; proxies may
/// truncate or rewrite the rest.
pub(super) fn is_status(body: &mut Vec<u8>) -> bool {
    const START: &[u8] = br#"{"kind":"Status","apiVersion":"v1","#;
    if body.starts_with(START) {
        return true;
    }
    parse::<wire::TypeMeta>(body)
        .is_ok_and(|meta| (meta.api_version.as_deref(), meta.kind.as_deref()) == (Some("v1"), Some("Status")))
}

/// Whether the body is an API server's response to `/version`.
pub(super) fn is_version_info(body: &mut Vec<u8>) -> bool {
    parse::<wire::Version>(body).is_ok()
}

fn decode_page<'a, T: Deserialize<'a>>(
    body: &'a mut Vec<u8>,
    kind: ListKind,
    into: &mut Objects,
    read: impl Fn(T) -> Result<Object, BadPage>,
) -> Result<PageEnd, BadPage> {
    let page: Page<'a, T> = parse(body)?;
    if page.kind.as_deref() != Some(list_kind(kind)) {
        return Err(BadPage::Invalid);
    }
    for item in within_limit(page.items)? {
        into.put(read(item)?)?;
    }
    let meta = page.metadata.unwrap_or_default();
    Ok(PageEnd {
        continue_token: meta.continue_token.filter(|token| !token.is_empty()),
        version: meta.resource_version,
    })
}

/// The objects of a list of another kind.
fn decode_list<'a, T: Deserialize<'a>>(body: &'a mut Vec<u8>, kind: &str) -> Result<Items<T>, BadPage> {
    let page: Page<'a, T> = parse(body)?;
    if page.kind.as_deref() == Some(kind) { Ok(page.items) } else { Err(BadPage::Invalid) }
}

fn list_kind(kind: ListKind) -> &'static str {
    match kind {
        ListKind::Deployment => "DeploymentList",
        ListKind::StatefulSet => "StatefulSetList",
        ListKind::DaemonSet => "DaemonSetList",
        ListKind::Service => "ServiceList",
        ListKind::EndpointSlice => "EndpointSliceList",
        ListKind::Endpoints => "EndpointsList",
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a mut Vec<u8>) -> Result<T, BadPage> {
    strip_unused(json);
    // Validating UTF-8 at once is faster than string by string.
    let json = str::from_utf8(json).map_err(|_| BadPage::Invalid)?;
    serde_json::from_str(json).map_err(|_| BadPage::Invalid)
}

fn within_limit<T>(items: Items<T>) -> Result<Vec<T>, BadPage> {
    if items.overflow { Err(BadPage::TooLarge) } else { Ok(items.list) }
}

/// Takes the name and the labels.
///
/// # Errors
/// For a name or label that no API server accepts, as they end up in statuses and messages.
fn identity<'a>(meta: &mut wire::Meta<'a>) -> Result<(Text<'a>, Labels<'a>), BadPage> {
    let name = meta.name.take().filter(|name| is_object_name(name)).ok_or(BadPage::Name)?;
    let labels = meta.labels.take().unwrap_or_default();
    if !labels.iter().all(|(key, value)| is_label_key(key) && is_label_value(value)) {
        return Err(BadPage::Name);
    }
    Ok((name, labels))
}

fn service(item: wire::Service, pools: &Pools) -> Result<Object, BadPage> {
    let (name, labels) = identity(&mut item.metadata.unwrap_or_default())?;
    let external = item.spec.and_then(|spec| spec.kind).as_deref() == Some("ExternalName");
    Ok(Object::Service(pools.services.intern(ParsedService { name, labels, external })))
}

fn slice(item: wire::EndpointSlice, pools: &Pools) -> Result<Object, BadPage> {
    let (name, labels) = identity(&mut item.metadata.unwrap_or_default())?;
    let mut ready = BTreeSet::new();
    for endpoint in within_limit(item.endpoints)? {
        if is_serving(endpoint.conditions.as_ref()) {
            ready.extend(endpoint_hash(endpoint.target_ref, endpoint.addresses.list.into_iter().next()));
        }
    }
    // A slice without this label belongs to no Service.
    let service = labels.get("kubernetes.io/service-name").map(|service| pools.names.intern(service.clone()));
    Ok(Object::Slice(new_slice(&name, service, ready)))
}

/// A Pod that is ending is not ready, but may still serve. Absent means "unknown", which consumers must treat as ready
/// (documentation of EndpointConditions).
fn is_serving(conditions: Option<&EndpointConditions>) -> bool {
    let Some(EndpointConditions { ready, serving }) = conditions else { return true };
    ready.unwrap_or(true) || serving.unwrap_or(false)
}

fn endpoints(item: wire::Endpoints, pools: &Pools) -> Result<Object, BadPage> {
    let (name, _) = identity(&mut item.metadata.unwrap_or_default())?;
    let mut ready = BTreeSet::new();
    for subset in within_limit(item.subsets)? {
        for address in within_limit(subset.addresses)? {
            ready.extend(endpoint_hash(address.target_ref, address.ip));
        }
    }
    let service = pools.names.intern(name.clone());
    Ok(Object::Slice(new_slice(&name, Some(service), ready)))
}

fn new_slice(name: &str, service: Option<Arc<String>>, ready: BTreeSet<u64>) -> Slice {
    Slice { name: name_hash(name), service, ready: ready.into_iter().collect() }
}

/// Identifies an endpoint: by its Pod, which a dual-stack Service lists with two addresses, else by its address.
fn endpoint_hash(target: Option<TargetRef<'_>>, address: Option<Text<'_>>) -> Option<u64> {
    let by_pod = target.and_then(|target| Some(format!("{}/{}", &*target.kind?, &*target.name?)));
    let hash = |key: &str| xxh3_64(key.as_bytes());
    by_pod.map(|key| hash(&key)).or_else(|| address.map(|key| hash(&key)))
}
