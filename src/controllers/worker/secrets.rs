//! Tracks the resourceVersion of each watched Secret.

use std::collections::BTreeMap;

use kube::ResourceExt;

use crate::domain::desired::DesiredTarget;
use crate::hub::{Change, Key, SecretMetadata};

/// By namespace and name. Metadata only; Secret data is never stored.
#[derive(Default)]
pub(super) struct SecretVersions(BTreeMap<Key, String>);

impl SecretVersions {
    /// `None` if the Secret does not exist or is not watched.
    pub(super) fn of(&self, target: &DesiredTarget) -> Option<String> {
        self.0.get(&(target.key.namespace().to_owned(), target.secret_name.clone())).cloned()
    }

    /// Applies a change and returns the Secret that it affects; `None` means that any may be affected.
    pub(super) fn apply(&mut self, change: Change<SecretMetadata>) -> Option<Key> {
        match change {
            Change::Applied(secret) => {
                let key = (secret.namespace().unwrap_or_default(), secret.name_any());
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
