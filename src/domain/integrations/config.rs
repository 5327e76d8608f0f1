//! `spec.config` worked into a tool's components.

use std::collections::{BTreeMap, BTreeSet};

use super::{Part, Tool};
use crate::domain::component::{Component, ComponentKind, Finder, Presence};

/// Keys that manifests of the Go toolkit have. They changed nothing about its checks, and change nothing here.
const LEGACY: &[&str] = &[
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
    "url",
];

/// What is wrong with `spec.config`. Every message names the key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("spec.config: {key:?} is not known for type {tool}; known are: {known}")]
    UnknownKey { key: String, tool: &'static str, known: &'static str },
    #[error("spec.config: {key:?} speaks of no component of {tool}; components are: {components}")]
    UnknownComponent { key: String, tool: &'static str, components: String },
    #[error("spec.config: {key}: {value:?} is not {wanted}")]
    BadValue { key: String, value: String, wanted: &'static str },
}

const KNOWN: &str =
    "namespace, minReady, required, optional, ignore, namespace.COMPONENT, name.COMPONENT, minReady.COMPONENT";

/// The components of `tool` as `config` wants them.
pub fn components_of(tool: &Tool, config: &BTreeMap<String, String>) -> Result<Vec<Component>, ConfigError> {
    let config = Config { tool, map: config };
    config.check_keys()?;
    let required = config.names("required")?;
    let optional = config.names("optional")?;
    let ignored = config.names("ignore")?;
    tool.parts
        .iter()
        .filter(|part| !ignored.contains(part.name))
        .map(|part| {
            let presence = match part.optional && !required.contains(part.name) || optional.contains(part.name) {
                true => Presence::Optional,
                false => Presence::Required,
            };
            config.component(part, presence)
        })
        .collect()
}

struct Config<'a> {
    tool: &'a Tool,
    map: &'a BTreeMap<String, String>,
}

impl Config<'_> {
    fn check_keys(&self) -> Result<(), ConfigError> {
        for key in self.map.keys() {
            match key.split_once('.') {
                None if matches!(key.as_str(), "namespace" | "minReady" | "required" | "optional" | "ignore") => {}
                None if LEGACY.contains(&key.as_str()) => {}
                Some(("namespace" | "name" | "minReady", component)) => self.check_component(key, component)?,
                _ => {
                    return Err(ConfigError::UnknownKey { key: key.clone(), tool: self.tool.name, known: KNOWN });
                }
            }
        }
        Ok(())
    }

    fn check_component(&self, key: &str, component: &str) -> Result<(), ConfigError> {
        if self.tool.parts.iter().any(|part| part.name == component) {
            return Ok(());
        }
        let mut components: Vec<&str> = self.tool.parts.iter().map(|part| part.name).collect();
        components.dedup();
        let key = key.to_owned();
        Err(ConfigError::UnknownComponent { key, tool: self.tool.name, components: components.join(", ") })
    }

    /// A comma-separated list of component names.
    fn names(&self, key: &str) -> Result<BTreeSet<&str>, ConfigError> {
        let list = self.map.get(key).map(String::as_str).unwrap_or_default();
        let names: BTreeSet<&str> = list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        names.iter().try_for_each(|name| self.check_component(&format!("{key}: {name}"), name))?;
        Ok(names)
    }

    fn component(&self, part: &Part, presence: Presence) -> Result<Component, ConfigError> {
        let namespace = match part.kind {
            ComponentKind::Crd => String::new(),
            _ => self
                .value("namespace", part, "a namespace: lower-case letters, digits and -", is_label)?
                .unwrap_or(self.tool.namespace)
                .to_owned(),
        };
        let own_name = format!("name.{}", part.name);
        let finder = match self.map.get(&own_name) {
            Some(name) => Finder::by_name(checked(&own_name, name, "the name of an object", is_name)?),
            None => finder(part),
        };
        let min_ready =
            self.value("minReady", part, "a whole number from 1 to 100000", |text| count(text).is_some())?;
        Ok(Component {
            kind: part.kind,
            name: part.name.to_owned(),
            namespace,
            finder,
            presence,
            min_ready: min_ready.and_then(count).unwrap_or(1),
        })
    }

    /// The value for one component, else for all.
    fn value(
        &self,
        key: &str,
        part: &Part,
        wanted: &'static str,
        is_good: impl Fn(&str) -> bool,
    ) -> Result<Option<&str>, ConfigError> {
        let own = format!("{key}.{}", part.name);
        for key in [own.as_str(), key] {
            if let Some(value) = self.map.get(key) {
                return checked(key, value, wanted, is_good).map(Some);
            }
        }
        Ok(None)
    }
}

fn checked<'v>(
    key: &str,
    value: &'v str,
    wanted: &'static str,
    is_good: impl Fn(&str) -> bool,
) -> Result<&'v str, ConfigError> {
    if is_good(value) {
        return Ok(value);
    }
    Err(ConfigError::BadValue { key: key.to_owned(), value: value.to_owned(), wanted })
}

fn finder(part: &Part) -> Finder {
    let owned = |set: &&[(&str, &str)]| set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Finder {
        labels: part.labels.iter().map(owned).collect(),
        names: std::iter::once(part.name).chain(part.names.iter().copied()).map(str::to_owned).collect(),
    }
}

fn count(text: &str) -> Option<u32> {
    text.parse().ok().filter(|count| (1..=100_000).contains(count))
}

/// RFC 1123 label, as namespaces are.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// RFC 1123 subdomain, as most objects are.
fn is_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(tool: &str, pairs: &[(&str, &str)]) -> Result<Vec<Component>, ConfigError> {
        let map = pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        components_of(Tool::named(tool).unwrap(), &map)
    }

    fn complaint(tool: &str, pairs: &[(&str, &str)]) -> String {
        with(tool, pairs).unwrap_err().to_string()
    }

    #[test]
    fn without_config_it_is_where_it_usually_is() {
        for tool in super::super::TOOLS {
            let components = components_of(tool, &BTreeMap::new()).unwrap();
            assert!(components.iter().any(|component| component.presence == Presence::Required), "{}", tool.name);
            for component in components.iter().filter(|component| component.kind != ComponentKind::Crd) {
                assert_eq!(component.namespace, tool.namespace);
            }
        }
    }

    #[test]
    fn everything_can_be_set_for_all_or_for_one() {
        let found = with(
            "istio",
            &[
                ("namespace", "mesh"),
                ("namespace.istio-ingressgateway", "edge"),
                ("name.istio-ingressgateway", "zebra"),
                ("minReady", "2"),
                ("minReady.ztunnel", "3"),
                ("required", "istio-ingressgateway, ztunnel"),
                ("optional", "istiod"),
                ("ignore", "istio-cni-node,istio-egressgateway"),
            ],
        )
        .unwrap();
        let part = |name: &str| found.iter().find(|component| component.name == name);
        let gateway = part("istio-ingressgateway").unwrap();
        assert_eq!((gateway.namespace.as_str(), gateway.presence, gateway.min_ready), ("edge", Presence::Required, 2));
        assert_eq!(gateway.finder, Finder::by_name("zebra"));
        let istiod = part("istiod").unwrap();
        assert_eq!((istiod.namespace.as_str(), istiod.presence), ("mesh", Presence::Optional));
        assert_eq!(part("ztunnel").unwrap().min_ready, 3);
        assert!(part("istio-cni-node").is_none());
    }

    #[test]
    fn a_name_that_two_kinds_have_addresses_both() {
        let found = with("argocd", &[("name.argocd-server", "front")]).unwrap();
        assert_eq!(found.iter().filter(|component| component.finder == Finder::by_name("front")).count(), 2);
    }

    #[test]
    fn manifests_of_the_go_toolkit_go_on_working() {
        let pairs = [("serverURL", "https://x"), ("insecure", "true"), ("namespace", "argocd"), ("secretName", "t")];
        assert_eq!(with("argocd", &pairs), with("argocd", &[]));
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_known() {
        assert_eq!(
            complaint("flux", &[("namespce", "x")]),
            "spec.config: \"namespce\" is not known for type flux; known are: namespace, minReady, required, optional, \
             ignore, namespace.COMPONENT, name.COMPONENT, minReady.COMPONENT"
        );
        assert_eq!(
            complaint("flux", &[("minReady.server", "1")]),
            "spec.config: \"minReady.server\" speaks of no component of flux; components are: source-controller, \
             kustomize-controller, helm-controller, notification-controller, image-reflector-controller, \
             image-automation-controller"
        );
        assert!(complaint("flux", &[("ignore", "serve")]).contains("\"ignore: serve\" speaks of no component"));
        assert_eq!(
            complaint("flux", &[("minReady", "0")]),
            "spec.config: minReady: \"0\" is not a whole number from 1 to 100000"
        );
        assert_eq!(
            complaint("flux", &[("namespace", "A/../b")]),
            "spec.config: namespace: \"A/../b\" is not a namespace: lower-case letters, digits and -"
        );
        assert!(complaint("flux", &[("name.helm-controller", "?")]).contains("is not the name of an object"));
    }
}
