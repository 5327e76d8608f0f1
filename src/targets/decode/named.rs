//! Decodes an object that was asked for by name.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use x509_parser::pem::Pem;

use super::parse;
use crate::domain::object_names::is_object_name;
use crate::domain::snapshot::{CaBundle, MAX_CONDITIONS, MAX_WEBHOOKS, ObjectCondition, ObjectState, Webhook};
use crate::targets::wire::{self, Condition};

/// Upper bound of a reason or a phase, in bytes.
const MAX_WORD: usize = 64;

/// The object of this name, in full or metadata only. `None` if the body is something else.
pub(in crate::targets) fn named(body: &mut Vec<u8>, name: &str) -> Option<ObjectState> {
    let object: wire::Object = parse(body).ok()?;
    let meta = object.metadata?;
    if object.kind.is_none() || meta.name.as_deref() != Some(name) {
        return None;
    }
    let status = object.status.unwrap_or_default();
    let observed = status.observed_generation.and_then(|observed| observed.as_i64());
    Some(ObjectState {
        deleting: meta.deletion_timestamp.is_some(),
        outdated: observed.is_some_and(|observed| observed < meta.generation.unwrap_or_default()),
        phase: status.phase.filter(|phase| is_word(phase)).map(|phase| phase.into_owned()),
        conditions: conditions(&status.conditions.list),
        webhooks: object.webhooks.list.iter().take(MAX_WEBHOOKS).map(webhook).collect(),
    })
}

/// Whether a target's text looks like a reason: nothing else of it is shown.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn conditions(list: &[Condition]) -> BTreeMap<String, ObjectCondition> {
    let known = list.iter().filter_map(|condition| {
        let kind = condition.kind.as_deref().filter(|kind| is_word(kind))?;
        let truth = match condition.status.as_deref() {
            Some("True") => Some(true),
            Some("False") => Some(false),
            _ => None,
        };
        let reason = condition.reason.as_deref().filter(|reason| is_word(reason)).map(str::to_owned);
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
