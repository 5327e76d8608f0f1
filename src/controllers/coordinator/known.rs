//! What the coordinator keeps of a target's status: thousands of them, so only what is asked again.

use xxhash_rust::xxh3::xxh3_128;

use crate::api::convert::stored_digest;
use crate::api::{IntegrationTarget, IntegrationTargetStatus};
use crate::domain::digest::Digest;
use crate::domain::keys::TargetKey;
use crate::hub::Change;

/// A status without its components, which are most of it.
pub(super) struct KnownStatus {
    pub(super) summary: IntegrationTargetStatus,
    /// Of all of it, components too.
    pub(super) meaning: Digest,
    /// Of every byte that the hub stores.
    hash: u128,
}

impl KnownStatus {
    /// `meaning` is the status's [`stored_digest`].
    pub(super) fn new(mut status: IntegrationTargetStatus, meaning: Digest) -> Self {
        // A status is made of texts and numbers, which always are JSON.
        let hash = xxh3_128(&serde_json::to_vec(&status).unwrap_or_default());
        status.integrations.iter_mut().for_each(|tool| tool.components = Vec::new());
        Self { summary: status, meaning, hash }
    }
}

impl PartialEq for KnownStatus {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

/// A target as the hub shows it.
pub(super) struct Sighting {
    pub(super) key: TargetKey,
    /// Without its status.
    pub(super) object: Box<IntegrationTarget>,
    pub(super) status: Option<KnownStatus>,
}

impl Sighting {
    pub(super) fn of(change: Change<IntegrationTarget>) -> Change<Self> {
        change.map(|mut object| {
            let metadata = &object.metadata;
            let (namespace, name) = (metadata.namespace.clone(), metadata.name.clone());
            let key = TargetKey::new(namespace.unwrap_or_default(), name.unwrap_or_default());
            let status = object.status.take().map(|status| {
                let meaning = stored_digest(&key, &status);
                KnownStatus::new(status, meaning)
            });
            Self { key, object, status }
        })
    }
}
