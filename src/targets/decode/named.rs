//! Decodes an object that was asked for by name.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::{SignedDuration, Timestamp};
use x509_parser::pem::Pem;

use super::{decode_list, parse};
use crate::domain::managed::is_reason;
use crate::domain::object_names::is_object_name;
use crate::domain::snapshot::{CaBundle, MAX_CONDITIONS, MAX_WEBHOOKS, ObjectCondition, ObjectState, Webhook};
use crate::targets::wire::{self, Condition, Items};

/// The object of this name, in full or metadata only. `None` if the body is something else.
pub(in crate::targets) fn named(body: &mut Vec<u8>, name: &str) -> Option<ObjectState> {
    state(parse(body).ok()?, name)
}

fn state(object: wire::Object, name: &str) -> Option<ObjectState> {
    let meta = object.metadata?;
    if object.kind.is_none() || meta.name.as_deref() != Some(name) {
        return None;
    }
    let status = object.status.unwrap_or_default();
    let observed = status.observed_generation.and_then(|observed| observed.as_i64());
    Some(ObjectState {
        deleting: meta.deletion_timestamp.is_some(),
        outdated: observed.is_some_and(|observed| observed < meta.generation.unwrap_or_default()),
        phase: status.phase.filter(|phase| is_reason(phase)).map(|phase| phase.into_owned()),
        conditions: conditions(&status.conditions.list),
        webhooks: object.webhooks.list.iter().take(MAX_WEBHOOKS).map(webhook).collect(),
        is_silent_lease: false,
    })
}

/// The resources that the API server serves, each as `plural.group` and as `plural.version.group`. `None` if the body is
/// something else.
pub(in crate::targets) fn served(body: &mut Vec<u8>) -> Option<BTreeSet<String>> {
    let groups: Items<wire::DiscoveryGroup> = decode_list(body, "APIGroupDiscoveryList").ok()?;
    let mut served = BTreeSet::new();
    for group in groups.list {
        let Some(name) = group.metadata.and_then(|meta| meta.name) else { continue };
        for version in &group.versions.list {
            for resource in &version.resources.list {
                let plural = &*resource.resource;
                served.insert(format!("{plural}.{}", &*name));
                served.extend(version.version.as_ref().map(|version| format!("{plural}.{}.{}", &**version, &*name)));
            }
        }
    }
    Some(served)
}

/// Durations without a renewal after which the holder of a Lease counts as dead.
const SILENT_AFTER: i32 = 5;

/// The Lease of this name. `now`: the cluster's own time, without which no Lease is called silent.
pub(in crate::targets) fn lease(body: &mut Vec<u8>, name: &str, now: Option<Timestamp>) -> Option<ObjectState> {
    let wire::Lease { object, spec } = parse(body).ok()?;
    let state = state(object, name)?;
    let wire::LeaseSpec { holder_identity, lease_duration_seconds, renew_time } = spec;
    let is_held = holder_identity.is_some_and(|holder| !holder.is_empty());
    let renewed: Option<Timestamp> = renew_time.and_then(|time| time.parse().ok());
    let patience = SignedDuration::from_secs(lease_duration_seconds.unwrap_or_default().into()) * SILENT_AFTER;
    let is_late = now.zip(renewed).is_some_and(|(now, renewed)| now.duration_since(renewed) > patience);
    Some(ObjectState { is_silent_lease: is_held && is_late, ..state })
}

fn conditions(list: &[Condition]) -> BTreeMap<String, ObjectCondition> {
    let known = list.iter().filter_map(|condition| {
        let kind = condition.kind.as_deref().filter(|kind| is_reason(kind))?;
        let truth = match condition.status.as_deref() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        };
        let reason = condition.reason.as_deref().filter(|reason| is_reason(reason)).map(str::to_owned);
        Some((kind.to_owned(), ObjectCondition { truth, reason }))
    });
    known.take(MAX_CONDITIONS).collect()
}

fn webhook(webhook: &wire::Webhook) -> Webhook {
    let config = webhook.client_config.as_ref();
    let service = config.and_then(|config| config.service.as_ref());
    let service = service.filter(|service| is_object_name(&service.namespace) && is_object_name(&service.name));
    Webhook {
        service: service.map(|service| (service.namespace.to_string(), service.name.to_string())),
        // The default since v1.
        required: webhook.failure_policy.as_deref() != Some("Ignore"),
        ca: ca_bundle(config.and_then(|config| config.ca_bundle.as_deref()).unwrap_or_default()),
    }
}

fn ca_bundle(base64: &str) -> CaBundle {
    if base64.is_empty() {
        return CaBundle::Empty;
    }
    let Ok(pem) = BASE64_STANDARD.decode(base64) else { return CaBundle::Invalid };
    let ends = Pem::iter_from_buffer(&pem).filter_map(|pem| {
        let pem = pem.ok()?;
        Some(pem.parse_x509().ok()?.validity().not_after.timestamp())
    });
    ends.max().map_or(CaBundle::Invalid, CaBundle::Until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn served_resources_have_the_names_of_their_definitions() {
        let body = r#"{"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":"keda.sh"},"versions":[
            {"version":"v1","resources":[{"resource":"scaledobjects","verbs":["get"]}]},
            {"version":"v2","resources":[{"resource":"scaledobjects"},{"resource":"scaledjobs"}]}]},
            {"metadata":{"name":"empty.example.com"}}]}"#;
        let names = [
            "scaledjobs.keda.sh",
            "scaledjobs.v2.keda.sh",
            "scaledobjects.keda.sh",
            "scaledobjects.v1.keda.sh",
            "scaledobjects.v2.keda.sh",
        ]
        .map(str::to_owned);
        assert_eq!(served(&mut body.into()), Some(BTreeSet::from(names)));
        assert_eq!(served(&mut br#"{"kind":"APIGroupList","groups":[]}"#.to_vec()), None, "before 1.27");
        assert_eq!(served(&mut b"ok".to_vec()), None);
    }

    #[test]
    fn lease_is_silent_after_five_durations_of_the_clusters_time() {
        let lease = |spec: &str, now: Option<&str>| {
            let body = format!(r#"{{"kind":"Lease","metadata":{{"name":"l"}},"spec":{spec}}}"#);
            lease(&mut body.into_bytes(), "l", now.map(|now| now.parse().unwrap())).unwrap().is_silent_lease
        };
        let held = r#"{"holderIdentity":"a","leaseDurationSeconds":15,"renewTime":"2026-01-01T00:00:00.000001Z"}"#;
        assert!(!lease(held, Some("2026-01-01T00:01:15Z")));
        assert!(lease(held, Some("2026-01-01T00:01:16Z")));
        assert!(!lease(held, None), "the cluster's time is unknown");
        let free = held.replace(r#""a""#, r#""""#);
        assert!(!lease(&free, Some("2030-01-01T00:00:00Z")), "nobody holds it");
        assert!(!lease("{}", Some("2030-01-01T00:00:00Z")));
    }
}
