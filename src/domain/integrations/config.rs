//! Applies `spec.config` to a tool's components.
//!
//! | key | meaning |
//! |---|---|
//! | `namespace`, `namespace.<component>` | where to look |
//! | `name.<component>` | the exact name of the object, in place of labels and usual names |
//! | `minReady`, `minReady.<component>` | minimum of ready Pods or endpoints: a number, or a percentage of the Pods |
//! | `progressDeadline` | time until something that is on its way counts as stuck, such as `10m` |
//! | `failAfter` | time until something that is not ready counts as failed; what is absent fails at once |
//! | `required`, `optional`, `ignore` | components by name, separated by commas; `ignore` also kinds that it manages |
//! | `failWhen`, `failWhen.<Kind>` | failing objects of a kind that make the tool fail: a number, a percentage or `never` |
//! | `namespaces.<Kind>` | namespaces in which objects of that kind are read, separated by commas |
//!
//! A name shared by two kinds (Deployment and Service `argocd-server`) means both; `Service/argocd-server` means one.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;

use super::config_error::nearest;
use super::{ConfigError, Part, Tool, managed, names};
use crate::domain::component::{Component, ComponentKind, Finder, MinReady, Patience, Presence};
use crate::domain::expected::Expected;
use crate::domain::managed::ManagedKind;

/// Keys in manifests of the Go toolkit that had no effect on its health checks either. Accepted and ignored.
pub(crate) const WITHOUT_EFFECT: &[&str] = &[
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

const KEYS: &str = "namespace, namespace.<component>, name.<component>, minReady, minReady.<component>, \
                    progressDeadline, failAfter, required, optional, ignore, failWhen, failWhen.<Kind>, \
                    namespaces.<Kind>";

/// The components that an Integration of this tool expects on every target.
///
/// # Errors
/// If a key is unknown, names no component, or has a bad value.
pub fn expected_of(tool: &Tool, config: &BTreeMap<String, String>) -> Result<Expected, ConfigError> {
    let mut drafts = Drafts::new(tool, config)?;
    // The exact `Kind/name` wins, whatever the order of the keys.
    let (exact, common): (Vec<_>, Vec<_>) = config.iter().partition(|(key, _)| key.contains('/'));
    for (key, value) in common.into_iter().chain(exact) {
        drafts.apply(key, value)?;
    }
    let resources = std::mem::take(&mut drafts.resources);
    Ok(Expected {
        components: drafts.finish()?,
        resources,
        profiles: tool.profiles.clone(),
        version_of: tool.version_of.clone(),
        versions: None,
    })
}

/// A tool's components while `config` is applied.
struct Drafts<'a> {
    tool: &'a Tool,
    /// Each with the list that names it, if any.
    drafts: Vec<(Component, Option<&'static str>)>,
    resources: Vec<ManagedKind>,
}

impl<'a> Drafts<'a> {
    fn new(tool: &'a Tool, config: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        // The Go toolkit treated an empty namespace as unset.
        let namespace = match config.get("namespace").map(String::as_str) {
            None | Some("") => None,
            Some(value) => Some(checked("namespace", value, names::check_label)?),
        };
        let min = config.get("minReady").map(|value| min_ready("minReady", value)).transpose()?;
        let patience = patience(config)?;
        let mut drafts: Vec<_> = tool.parts.iter().map(|part| (draft(tool, part, namespace), None)).collect();
        for (component, _) in &mut drafts {
            component.min_ready = min.filter(|_| component.kind.is_listed()).or(component.min_ready);
            component.patience = patience;
        }
        let mut resources = tool.resources.clone();
        if let Some(namespace) = namespace {
            managed::replace_namespace(&mut resources, &tool.namespace, namespace);
        }
        Ok(Self { tool, drafts, resources })
    }

    fn apply(&mut self, key: &str, value: &str) -> Result<(), ConfigError> {
        let (field, component) = match key.split_once('.') {
            Some((field, component)) => (field, Some(component)),
            None => (key, None),
        };
        match (field, component) {
            // All of them are in every draft already.
            ("namespace" | "minReady" | "progressDeadline" | "failAfter", None) => Ok(()),
            ("failWhen", kind) => managed::fail_when(&mut self.resources, key, kind, value),
            ("namespaces", Some(kind)) => managed::namespaces(&mut self.resources, key, kind, value),
            ("required", None) => self.list(key, value, "required"),
            ("optional", None) => self.list(key, value, "optional"),
            ("ignore", None) => self.list(key, value, "ignore"),
            ("namespace", Some(name)) => {
                let namespace = checked(key, value, names::check_label)?;
                self.change(key, name, is_namespaced, |component| {
                    namespace.clone_into(&mut component.namespace);
                    component.elsewhere.clear();
                })
            }
            ("minReady", Some(name)) => {
                let min_ready = min_ready(key, value)?;
                self.change(key, name, has_pods, |component| component.min_ready = Some(min_ready))
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
            if list == "ignore" && self.tool.resources.iter().any(|managed| managed.kind == name) {
                self.resources.retain(|managed| managed.kind != name);
                continue;
            }
            let kind = name.split_once('/').and_then(|(kind, _)| kind_named(kind));
            for index in self.select(key, name)? {
                let (component, named_in) = &mut self.drafts[index];
                if let Some(kind) = kind.filter(|_| !component.or_kinds.is_empty()) {
                    narrow(component, kind, list);
                    continue;
                }
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

    /// Applies a change to the components for which it is valid; at least one.
    fn change(
        &mut self,
        key: &str,
        name: &str,
        is_valid: fn(&Component) -> bool,
        mut change: impl FnMut(&mut Component),
    ) -> Result<(), ConfigError> {
        let mut changed = false;
        for index in self.select(key, name)? {
            let component = &mut self.drafts[index].0;
            if is_valid(component) {
                change(component);
                changed = true;
            }
        }
        if changed { Ok(()) } else { Err(ConfigError::NoMeaning { key: key.to_owned() }) }
    }

    /// Indices of the components that a name in `config` means; at least one.
    fn select(&self, key: &str, wanted: &str) -> Result<Vec<usize>, ConfigError> {
        let (kind, name) = match wanted.split_once('/') {
            Some((kind, name)) => (Some(kind), name),
            None => (None, wanted),
        };
        let means = |component: &Component| {
            let is_kind = |kind: &str| component.kinds().any(|own| own.as_str().eq_ignore_ascii_case(kind));
            component.name == name && kind.is_none_or(is_kind)
        };
        let found: Vec<usize> = (0..self.drafts.len()).filter(|index| means(&self.drafts[*index].0)).collect();
        if found.is_empty() {
            return Err(ConfigError::UnknownComponent {
                key: key.to_owned(),
                component: wanted.to_owned(),
                tool: self.tool.name.clone(),
                nearest: nearest(name, self.names()).filter(|nearest| nearest != name),
                components: self.names().join(", "),
            });
        }
        Ok(found)
    }

    /// The components' names, each once, in the tool's order.
    fn names(&self) -> Vec<&'a str> {
        let mut names = Vec::new();
        for part in &self.tool.parts {
            if !names.contains(&part.name.as_str()) {
                names.push(&part.name);
            }
        }
        names
    }

    fn unknown_key(&self, key: &str) -> ConfigError {
        let mut candidates: Vec<String> =
            ["namespace", "minReady", "progressDeadline", "failAfter", "required", "optional", "ignore", "failWhen"]
                .map(str::to_owned)
                .to_vec();
        for field in ["namespace", "name", "minReady"] {
            candidates.extend(self.names().iter().map(|name| format!("{field}.{name}")));
        }
        for field in ["failWhen", "namespaces"] {
            candidates.extend(self.tool.resources.iter().map(|managed| format!("{field}.{}", managed.kind)));
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
        if kept.is_empty() { Err(ConfigError::NothingLeft { tool: self.tool.name.clone() }) } else { Ok(kept) }
    }
}

/// Applies `Kind/name` in a list to a component of several kinds: it chooses among them.
fn narrow(component: &mut Component, kind: ComponentKind, list: &str) {
    let kinds: Vec<ComponentKind> = match list {
        "required" => vec![kind],
        "ignore" => component.kinds().filter(|own| *own != kind).collect(),
        // One of them is optional already, as another will do.
        _ => return,
    };
    if let Some((first, rest)) = kinds.split_first() {
        (component.kind, component.or_kinds) = (*first, rest.to_vec());
    }
}

fn kind_named(text: &str) -> Option<ComponentKind> {
    ComponentKind::ALL.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(text))
}

fn is_namespaced(component: &Component) -> bool {
    !component.kind.is_cluster_scoped()
}

fn has_pods(component: &Component) -> bool {
    component.kind.is_listed()
}

/// The component of a part, where the user's namespace replaces the tool's.
fn draft(tool: &Tool, part: &Part, namespace: Option<&str>) -> Component {
    let namespace = match &part.namespace {
        _ if part.kind.is_cluster_scoped() => "",
        // A part in a namespace of its own stays there.
        Some(own) => own,
        None => namespace.unwrap_or(&tool.namespace),
    };
    Component {
        kind: part.kind,
        or_kinds: part.or_kinds.clone(),
        api_version: part.api_version.clone(),
        name: part.name.clone(),
        namespace: namespace.to_owned(),
        elsewhere: part.elsewhere.clone(),
        finder: part.finder.clone(),
        presence: part.presence,
        anchor: part.anchor,
        min_ready: part.min_ready,
        quorum: part.quorum,
        workload: part.workload.clone(),
        patience: Patience::default(),
    }
}

fn patience(config: &BTreeMap<String, String>) -> Result<Patience, ConfigError> {
    let usual = Patience::default();
    let read = |key: &str, otherwise: Duration| config.get(key).map_or(Ok(otherwise), |value| duration(key, value));
    Ok(Patience {
        progress_deadline: read("progressDeadline", usual.progress_deadline)?,
        fail_after: read("failAfter", usual.fail_after)?,
    })
}

/// A Go duration of at most a week.
fn duration(key: &str, value: &str) -> Result<Duration, ConfigError> {
    const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
    let parsed = value.parse::<SignedDuration>().ok().and_then(|parsed| Duration::try_from(parsed).ok());
    let expected = "a duration from 0s to 168h, such as 10m";
    parsed.filter(|duration| *duration <= LONGEST).ok_or_else(|| bad(key, value, expected))
}

fn checked<'v>(key: &str, value: &'v str, check: fn(&str) -> Result<(), &'static str>) -> Result<&'v str, ConfigError> {
    check(value).map(|()| value).map_err(|expected| bad(key, value, expected))
}

fn min_ready(key: &str, value: &str) -> Result<MinReady, ConfigError> {
    MinReady::parse(value).ok_or_else(|| bad(key, value, "a whole number, 1 or more, or a percentage such as 90%"))
}

fn bad(key: &str, value: &str, expected: &'static str) -> ConfigError {
    ConfigError::BadValue { key: key.to_owned(), value: value.to_owned(), expected }
}
