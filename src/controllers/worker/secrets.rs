//! Tracks the resourceVersion of each watched Secret.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::api::convert::object_key;
use crate::domain::desired::DesiredTarget;
use crate::domain::keys::ObjectKey;
use crate::hub::{Change, SecretMetadata};

/// Metadata only; Secret data is never stored.
#[derive(Default)]
pub(super) struct SecretVersions(BTreeMap<ObjectKey, String>);

impl SecretVersions {
    /// `None` if the Secret does not exist or is not watched.
    pub(super) fn of(&self, target: &DesiredTarget) -> Option<String> {
        self.0.get(&target.key.object().sibling(target.secret_name.as_str())).cloned()
    }

    /// Applies a change and returns the Secret that it affects; `None` means that any may be affected.
    pub(super) fn apply(&mut self, change: Change<SecretMetadata>) -> Option<ObjectKey> {
        match change {
            Change::Applied(secret) => {
                let key = object_key(&*secret);
                self.0.insert(key.clone(), secret.resource_version().unwrap_or_default());
                Some(key)
            }
            Change::Deleted(key) => {
                self.0.remove(&key);
                Some(key)
            }
            Change::Listed(keys) => {
                self.0.retain(|key, _| keys.contains(key));
                None
            }
        }
    }
}
