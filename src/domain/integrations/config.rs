//! `spec.config` worked into a tool's components.

use std::collections::BTreeMap;

use super::Tool;
use crate::domain::component::{Component, Finder, Presence};

/// What is wrong with `spec.config`; names the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub fn components_of(tool: &Tool, config: &BTreeMap<String, String>) -> Result<Vec<Component>, ConfigError> {
    let namespace = config.get("namespace").map_or(tool.namespace, String::as_str);
    Ok(tool
        .parts
        .iter()
        .map(|part| Component {
            kind: part.kind,
            name: part.name.to_owned(),
            namespace: namespace.to_owned(),
            finder: Finder {
                labels: part
                    .labels
                    .iter()
                    .map(|set| set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
                    .collect(),
                names: std::iter::once(part.name).chain(part.names.iter().copied()).map(str::to_owned).collect(),
            },
            presence: if part.optional { Presence::Optional } else { Presence::Required },
            min_ready: 1,
        })
        .collect())
}
