//! The fields of objects that are read by name.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::{Condition, Items, Meta};
use crate::targets::text::Text;

/// The fields of a Lease (coordination.k8s.io/v1).
#[derive(Deserialize)]
pub(in crate::targets) struct Lease<'a> {
    #[serde(flatten, borrow)]
    pub object: Object<'a>,
    #[serde(default, borrow)]
    pub spec: LeaseSpec<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::targets) struct LeaseSpec<'a> {
    #[serde(borrow)]
    pub holder_identity: Option<Text<'a>>,
    pub lease_duration_seconds: Option<u32>,
    /// RFC 3339 with microseconds.
    #[serde(borrow)]
    pub renew_time: Option<Text<'a>>,
}

/// Any object that is read by name.
#[derive(Deserialize)]
pub(in crate::targets) struct Object<'a> {
    #[serde(borrow)]
    pub kind: Option<Text<'a>>,
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(borrow)]
    pub status: Option<ObjectStatus<'a>>,
    /// The webhooks of a configuration.
    #[serde(default, borrow)]
    pub webhooks: Items<Webhook<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::targets) struct ObjectStatus<'a> {
    /// An integer by convention.
    pub observed_generation: Option<serde_json::Number>,
    #[serde(borrow, deserialize_with = "text_or_nothing")]
    pub phase: Option<Text<'a>>,
    #[serde(borrow)]
    pub conditions: Items<Condition<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::targets) struct Webhook<'a> {
    #[serde(borrow)]
    pub failure_policy: Option<Text<'a>>,
    #[serde(borrow)]
    pub client_config: Option<ClientConfig<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::targets) struct ClientConfig<'a> {
    #[serde(borrow)]
    pub service: Option<ServiceRef<'a>>,
    /// PEM in base64.
    #[serde(borrow)]
    pub ca_bundle: Option<Text<'a>>,
}

#[derive(Deserialize)]
pub(in crate::targets) struct ServiceRef<'a> {
    #[serde(borrow)]
    pub namespace: Text<'a>,
    #[serde(borrow)]
    pub name: Text<'a>,
}

/// An API group of aggregated discovery (apidiscovery.k8s.io).
#[derive(Deserialize)]
pub(in crate::targets) struct DiscoveryGroup<'a> {
    #[serde(borrow)]
    pub metadata: Option<Meta<'a>>,
    #[serde(default, borrow)]
    pub versions: Items<DiscoveryVersion<'a>>,
}

#[derive(Deserialize)]
pub(in crate::targets) struct DiscoveryVersion<'a> {
    #[serde(borrow)]
    pub version: Option<Text<'a>>,
    #[serde(default, borrow)]
    pub resources: Items<DiscoveryResource<'a>>,
}

#[derive(Deserialize)]
pub(in crate::targets) struct DiscoveryResource<'a> {
    /// Its plural.
    #[serde(borrow)]
    pub resource: Text<'a>,
}

/// A string; anything else counts as absent, as a phase is of any type in a custom resource.
fn text_or_nothing<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Text<'a>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Any<'a> {
        Text(#[serde(borrow)] Text<'a>),
        Other(IgnoredAny),
    }
    Ok(match Any::deserialize(deserializer)? {
        Any::Text(text) => Some(text),
        Any::Other(IgnoredAny) => None,
    })
}
