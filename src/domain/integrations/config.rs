//! Applies `spec.config` to a tool's components.
//!
//! | key | meaning |
//! |---|---|
//! | `namespace`, `namespace.<component>` | where to look |
//! | `name.<component>` | the exact name of the object, in place of labels and usual names |
//! | `minReady`, `minReady.<component>` | minimum number of ready Pods or endpoints |
//! | `required`, `optional`, `ignore` | components by name, separated by commas |
//!
//! A name shared by two kinds (Deployment and Service `argocd-server`) means both; `Service/argocd-server` means one.

use std::collections::BTreeMap;

use super::config_error::nearest;
use super::{ConfigError, Part, Tool, names};
use crate::domain::component::{Component, ComponentKind, Finder, Presence};

/// Keys in manifests of the Go toolkit that had no effect on its health checks either. Accepted and ignored.
const WITHOUT_EFFECT: &[&str] = &[
    "enableAlerts",
    "enableMTLS",
    "enableTracing",
    "healthCheckInterval",
    "healthEndpoint",
    "insecure",
    "interval",
    "scrapeInterval",
    "secretKey",
    "secretName",
    "serverURL",
    "token",
    "url",
];

const KEYS: &str = "namespace, namespace.<component>, name.<component>, minReady, minReady.<component>, required, \
                    optional, ignore";

/// The components that an integration of this tool expects on every target.
pub fn components_of(tool: &Tool, config: &BTreeMap<String, String>) -> Result<Vec<Component>, ConfigError> {
    let mut drafts = Drafts::new(tool, config)?;
    // The exact `Kind/name` wins, whatever the order of the keys.
    let (exact, common): (Vec<_>, Vec<_>) = config.iter().partition(|(key, _)| key.contains('/'));
    for (key, value) in common.into_iter().chain(exact) {
        drafts.apply(key, value)?;
    }
    drafts.finish()
}

/// A tool's components while `config` is applied.
struct Drafts<'a> {
    tool: &'a Tool,
    /// Each with the list that names it, if any.
    drafts: Vec<(Component, Option<&'static str>)>,
}

impl<'a> Drafts<'a> {
    fn new(tool: &'a Tool, config: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        // The Go toolkit treated an empty namespace as unset.
        let namespace = match config.get("namespace").map(String::as_str) {
            None | Some("") => tool.namespace,
            Some(value) => checked("namespace", value, names::check_label)?,
        };
        let min_ready = config.get("minReady").map_or(Ok(1), |value| positive("minReady", value))?;
        let drafts = tool.parts.iter().map(|part| (draft(part, namespace, min_ready), None)).collect();
        Ok(Self { tool, drafts })
    }

    fn apply(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let (field, component) = match key.split_once('.') {
            Some((field, component)) => (field, Some(component)),
            None => (key, None),
        };
        match (field, component) {
            // Both are in every draft already.
            ("namespace" | "minReady", None) => Ok(()),
            ("required", None) => self.list(key, value, "required"),
            ("optional", None) => self.list(key, value, "optional"),
            ("ignore", None) => self.list(key, value, "ignore"),
            ("namespace", Some(name)) => {
                let namespace = checked(key, value, names::check_label)?;
                self.change_namespaced(key, name, |component| namespace.clone_into(&mut component.namespace))
            }
            ("minReady", Some(name)) => {
                let min_ready = positive(key, value)?;
                self.change_namespaced(key, name, |component| component.min_ready = min_ready)
            }
            ("name", Some(name)) => {
                let exact = checked(key, value, names::check_subdomain)?;
                for index in self.select(key, name)? {
                    self.drafts[index].0.finder = Finder::by_name(exact);
                }
                Ok(())
            }
            _ if WITHOUT_EFFECT.contains(&key) => Ok(()),
            _ => Err(self.unknown_key(key)),
        }
    }

    fn list(&mut self, key: &str, value: &str, list: &'static str) -> Result<(), ConfigError> {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            for index in self.select(key, name)? {
                let (component, named_in) = &mut self.drafts[index];
                match *named_in {
                    Some(other) if other != list => {
                        let component = component.name.clone();
                        return Err(ConfigError::Contradiction { component, one: other, other: list });
                    }
                    _ => *named_in = Some(list),
                }
                component.presence = if list == "required" { Presence::Required } else { Presence::Optional };
            }
        }
        Ok(())
    }

    /// Applies a change that is valid for namespaced components only.
    fn change_namespaced(
        &mut self,
        key: &str,
        name: &str,
        mut change: impl FnMut(&mut Component),
    ) -> Result<(), ConfigError> {
        let mut changed = false;
        for index in self.select(key, name)? {
            let component = &mut self.drafts[index].0;
            if component.kind != ComponentKind::Crd {
                change(component);
                changed = true;
            }
        }
        if changed { Ok(()) } else { Err(ConfigError::ClusterScoped { key: key.to_owned() }) }
    }

    /// Indices of the components that a name in `config` means; at least one.
    fn select(&self, key: &str, wanted: &str) -> Result<Vec<usize>, ConfigError> {
        let (kind, name) = match wanted.split_once('/') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, wanted),
        };
        let means = |component: &Component| {
            component.name == name && kind.is_none_or(|kind| component.kind.as_str().eq_ignore_ascii_case(kind))
        };
        let found: Vec<usize> = (0..self.drafts.len()).filter(|index| means(&self.drafts[*index].0)).collect();
        if found.is_empty() {
            return Err(ConfigError::UnknownComponent {
                key: key.to_owned(),
                component: wanted.to_owned(),
                tool: self.tool.name,
                nearest: nearest(name, self.names()).filter(|nearest| nearest != name),
                components: self.names().join(", "),
            });
        }
        Ok(found)
    }

    /// The components' names, each once, in the tool's order.
    fn names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        for part in self.tool.parts {
            if !names.contains(&part.name) {
                names.push(part.name);
            }
        }
        names
    }

    fn unknown_key(&self, key: &str) -> ConfigError {
        let mut candidates: Vec<String> =
            ["namespace", "minReady", "required", "optional", "ignore"].map(str::to_owned).to_vec();
        for field in ["namespace", "name", "minReady"] {
            candidates.extend(self.names().iter().map(|name| format!("{field}.{name}")));
        }
        let candidates = candidates.iter().map(String::as_str).chain(WITHOUT_EFFECT.iter().copied());
        ConfigError::UnknownKey {
            key: key.to_owned(),
            nearest: nearest(key, candidates),
            keys: KEYS,
            components: self.names().join(", "),
        }
    }

    fn finish(self) -> Result<Vec<Component>, ConfigError> {
        let kept: Vec<Component> = self
            .drafts
            .into_iter()
            .filter(|(_, named_in)| *named_in != Some("ignore"))
            .map(|(draft, _)| draft)
            .collect();
        if kept.is_empty() { Err(ConfigError::NothingLeft { tool: self.tool.name }) } else { Ok(kept) }
    }
}

/// The component of a part, with the tool-wide settings.
fn draft(part: &Part, namespace: &str, min_ready: u32) -> Component {
    let owned = |set: &&[(&str, &str)]| set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Component {
        kind: part.kind,
        name: part.name.to_owned(),
        namespace: if part.kind == ComponentKind::Crd { String::new() } else { namespace.to_owned() },
        finder: Finder {
            labels: part.labels.iter().map(owned).collect(),
            names: std::iter::once(part.name).chain(part.names.iter().copied()).map(str::to_owned).collect(),
        },
        presence: if part.optional { Presence::Optional } else { Presence::Required },
        min_ready,
    }
}

fn checked<'v>(key: &str, value: &'v str, check: fn(&str) -> Result<(), &'static str>) -> Result<&'v str, ConfigError> {
    check(value).map(|()| value).map_err(|expected| bad(key, value, expected))
}

fn positive(key: &str, value: &str) -> Result<u32, ConfigError> {
    value.parse().ok().filter(|number| *number > 0).ok_or_else(|| bad(key, value, "a whole number, 1 or more"))
}

fn bad(key: &str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), value: value.to_owned(), expected }
}

#[cfg(test)]
mod tests;
