//! The types that an Integration may have: built in, and the users' own.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::{IntegrationType, catalogue};
use crate::domain::integrations::{Tool, meant, nearest};
use crate::domain::keys::ObjectKey;
use crate::domain::reason::{Failure, Reason};

/// The users' types by namespace and name. Built-in ones are known without.
#[derive(Debug, Default)]
pub struct Types(BTreeMap<ObjectKey, Result<Tool, String>>);

impl Types {
    /// Adds or replaces a type. Returns whether that changes anything for Integrations.
    pub fn apply(&mut self, object: &IntegrationType) -> bool {
        let key = super::object_key(object);
        let tool = super::tool(key.name(), &object.spec);
        let is_same = self.0.get(&key) == Some(&tool);
        self.0.insert(key, tool);
        !is_same
    }

    /// Removes and returns the types that are not in a complete list.
    pub fn retain(&mut self, is_listed: impl Fn(&ObjectKey) -> bool) -> BTreeSet<ObjectKey> {
        let gone: BTreeSet<ObjectKey> = self.0.keys().filter(|key| !is_listed(key)).cloned().collect();
        self.0.retain(|key, _| !gone.contains(key));
        gone
    }

    /// The tool of this type for Integrations in `namespace`.
    ///
    /// # Errors
    /// [`Reason::UnknownType`] if there is no such type, [`Reason::InvalidType`] if its object can't be used.
    pub fn find(&self, namespace: &str, name: &str) -> Result<&Tool, Failure> {
        if let Some(built_in) = catalogue::tool(name) {
            return Ok(built_in);
        }
        match self.0.get(&ObjectKey::new(namespace, name)) {
            Some(Ok(tool)) => Ok(tool),
            Some(Err(error)) => {
                Err(Failure::new(Reason::InvalidType, format!("IntegrationType {name} can't be used: {error}")))
            }
            None => Err(Failure::new(Reason::UnknownType, self.unknown(namespace, name))),
        }
    }

    fn unknown(&self, namespace: &str, name: &str) -> String {
        let own = self.0.keys().filter(|key| key.namespace() == namespace).map(ObjectKey::name);
        let known: Vec<&str> = catalogue::tools().iter().map(|tool| tool.name.as_str()).chain(own).collect();
        let meant = meant(&nearest(name, known.iter().copied()));
        match name.contains('.') {
            true => format!("spec.type: there is no IntegrationType {name:?} in namespace {namespace}{meant}"),
            false => format!("spec.type: {name:?} is not known{meant}; use one of {}, custom", known.join(", ")),
        }
    }
}
