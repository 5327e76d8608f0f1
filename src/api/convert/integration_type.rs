//! Validates types of integration and converts them to the domain.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::type_resources;
use crate::api::{IntegrationTypeSpec, TypeComponent, TypeProfile, WorkloadKind};
use crate::domain::component::{ComponentKind, Finder, MinReady, Presence};
use crate::domain::expected::{ComponentName, Profile};
use crate::domain::integrations::names::{check_label, check_subdomain};
use crate::domain::integrations::{Part, Tool};
use crate::domain::object_names::{is_label_key, is_label_value};
use crate::domain::word::Word;

/// The tool that a type describes.
///
/// # Errors
/// A sentence that names the field.
pub fn tool(name: &str, spec: &IntegrationTypeSpec) -> Result<Tool, String> {
    let IntegrationTypeSpec { title, namespace, components, version, profiles, resources } = spec;
    check_label(namespace).map_err(|expected| format!("spec.namespace: {namespace:?} must be {expected}"))?;
    if components.is_empty() {
        return Err("spec.components: a type needs at least one".to_owned());
    }
    let mut parts = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, component) in components.iter().enumerate() {
        let part = part(component).map_err(|error| format!("spec.components[{index}].{error}"))?;
        if !seen.insert((part.kind, part.name.clone())) {
            return Err(format!("spec.components[{index}]: {} {} is there twice", part.kind, part.name));
        }
        parts.push(part);
    }
    let names: BTreeSet<&str> = components.iter().map(|component| component.name.as_str()).collect();
    for (index, component) in components.iter().enumerate() {
        if let Some(workload) = component.workload.as_deref().filter(|workload| !names.contains(workload)) {
            return Err(format!("spec.components[{index}].workload: there is no component {workload:?}"));
        }
    }
    let version_of = version.as_ref().map(|version| version.component.clone());
    if let Some(unknown) = version_of.as_deref().filter(|name| !names.contains(name)) {
        return Err(format!("spec.version.component: there is no component {unknown:?}"));
    }
    let profiles = profiles.iter().enumerate().map(|(index, profile)| {
        self::profile(profile, &parts).map_err(|error| format!("spec.profiles[{index}].{error}"))
    });
    let profiles = profiles.collect::<Result<_, _>>()?;
    Ok(Tool {
        name: name.to_owned(),
        title: title.clone(),
        namespace: namespace.clone(),
        parts,
        version_of,
        profiles,
        resources: type_resources::kinds(resources)?,
    })
}

fn part(component: &TypeComponent) -> Result<Part, String> {
    let kind = kind(component)?;
    check_subdomain(&component.name).map_err(|expected| format!("name: {:?} must be {expected}", component.name))?;
    for name in &component.names {
        check_subdomain(name).map_err(|expected| format!("names: {name:?} must be {expected}"))?;
    }
    for namespace in component.namespace.iter().chain(&component.or_namespaces) {
        check_label(namespace).map_err(|expected| format!("namespace: {namespace:?} must be {expected}"))?;
    }
    check_labels(component, kind)?;
    let is_workload = kind.is_workload();
    if !is_workload && !component.or_kinds.is_empty() {
        return Err("orKinds: only a Deployment, StatefulSet or DaemonSet has alternatives".to_owned());
    }
    Ok(Part {
        kind,
        or_kinds: component.or_kinds.iter().map(|kind| workload_kind(*kind)).filter(|other| *other != kind).collect(),
        api_version: component.api_version.clone(),
        name: component.name.clone(),
        finder: Finder {
            labels: component.labels.clone(),
            names: std::iter::once(&component.name).chain(&component.names).cloned().collect(),
        },
        namespace: component.namespace.clone(),
        elsewhere: component.or_namespaces.clone(),
        presence: if component.optional { Presence::Optional } else { Presence::Required },
        anchor: component.anchor.unwrap_or(is_workload && !component.optional),
        min_ready: component.min_ready.as_ref().map(min_ready).transpose()?,
        quorum: component.quorum,
        workload: component.workload.clone(),
    })
}

fn kind(component: &TypeComponent) -> Result<ComponentKind, String> {
    let TypeComponent { kind, api_version, .. } = component;
    if let Some(kind) = ComponentKind::parse(kind) {
        return Ok(kind);
    }
    let Some(api_version) = api_version else {
        return Err(format!("apiVersion: missing; ksit has no rules for {kind:?} and needs its group and version"));
    };
    let (_, version) = group_and_version(api_version)?;
    check_version(version)?;
    Word::of(kind).map(ComponentKind::Other).ok_or_else(|| format!("kind: {kind:?} is not a name such as Deployment"))
}

/// The group, empty for the core group, and the version, which is not checked.
pub(super) fn group_and_version(api_version: &str) -> Result<(&str, &str), String> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if !group.is_empty() {
        check_subdomain(group).map_err(|expected| format!("apiVersion: the group {group:?} must be {expected}"))?;
    }
    Ok((group, version))
}

pub(super) fn check_version(version: &str) -> Result<(), String> {
    check_label(version).map_err(|expected| format!("apiVersion: the version {version:?} must be {expected}"))
}

fn check_labels(component: &TypeComponent, kind: ComponentKind) -> Result<(), String> {
    if !component.labels.is_empty() && !kind.is_listed() {
        return Err("labels: only a Deployment, StatefulSet, DaemonSet or Service is found by labels".to_owned());
    }
    for (key, value) in component.labels.iter().flatten() {
        if !is_label_key(key) {
            return Err(format!("labels: {key:?} is not a label key"));
        }
        let value = value.strip_prefix('!').unwrap_or(value);
        if !is_label_value(value.strip_suffix('*').unwrap_or(value)) && !value.ends_with('*') {
            return Err(format!("labels: {value:?} is not a label value"));
        }
    }
    match component.labels.iter().any(|set| set.is_empty()) {
        true => Err("labels: an empty set would find every object of the namespace".to_owned()),
        false => Ok(()),
    }
}

fn min_ready(value: &IntOrString) -> Result<MinReady, String> {
    let text = match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(text) => text.clone(),
    };
    MinReady::parse(&text)
        .ok_or_else(|| format!("minReady: {text:?} is neither a number from 1 nor a percentage such as 90%"))
}

fn workload_kind(kind: WorkloadKind) -> ComponentKind {
    match kind {
        WorkloadKind::Deployment => ComponentKind::Deployment,
        WorkloadKind::StatefulSet => ComponentKind::StatefulSet,
        WorkloadKind::DaemonSet => ComponentKind::DaemonSet,
    }
}

fn profile(profile: &TypeProfile, parts: &[Part]) -> Result<Profile, String> {
    if profile.without.is_empty() {
        return Err("without: a profile without absent components is the usual shape".to_owned());
    }
    let names = |field: &str, list: &[String]| {
        let named = list.iter().map(|text| component_name(text, parts));
        named.collect::<Result<_, _>>().map_err(|error| format!("{field}: {error}"))
    };
    Ok(Profile {
        name: profile.name.clone(),
        with: names("with", &profile.with)?,
        without: names("without", &profile.without)?,
    })
}

/// `name`, or `Kind/name`; some component must be of this name and kind.
fn component_name(text: &str, parts: &[Part]) -> Result<ComponentName, String> {
    let (kind, name) = match text.split_once('/') {
        Some((kind, name)) => (Some(kind), name),
        None => (None, text),
    };
    let kinds = parts.iter().filter(|part| part.name == name).flat_map(Part::kinds);
    let mut meant = kinds.filter(|own| kind.is_none_or(|kind| own.as_str() == kind));
    match meant.next() {
        Some(found) => Ok(ComponentName { kind: kind.map(|_| found), name: name.to_owned() }),
        None => Err(format!("there is no component {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(spec: Value) -> Result<Tool, String> {
        tool("backstage.example.com", &serde_json::from_value(spec).unwrap())
    }

    fn with(component: Value) -> Result<Tool, String> {
        read(json!({"title": "Backstage", "namespace": "backstage", "components": [component]}))
    }

    #[test]
    fn required_workload_is_an_anchor() {
        let anchor = |component| with(component).unwrap().parts[0].anchor;
        assert!(anchor(json!({"kind": "Deployment", "name": "a"})));
        assert!(!anchor(json!({"kind": "Deployment", "name": "a", "optional": true})));
        assert!(!anchor(json!({"kind": "Service", "name": "a"})));
        assert!(!anchor(json!({"kind": "Deployment", "name": "a", "anchor": false})));
    }

    #[test]
    fn errors_name_the_field() {
        let rows = [
            (json!({"kind": "Widget", "name": "a"}), "spec.components[0].apiVersion: missing"),
            (
                json!({"kind": "Widget", "name": "a", "apiVersion": "a/b/c"}),
                "spec.components[0].apiVersion: the version",
            ),
            (json!({"kind": "Deployment", "name": "A"}), "spec.components[0].name: \"A\" must be"),
            (json!({"kind": "Deployment", "name": "a", "names": ["../b"]}), "spec.components[0].names: \"../b\""),
            (json!({"kind": "Deployment", "name": "a", "namespace": "A"}), "spec.components[0].namespace: \"A\""),
            (json!({"kind": "Deployment", "name": "a", "labels": [{}]}), "spec.components[0].labels: an empty set"),
            (json!({"kind": "APIService", "name": "a", "labels": [{"a": "b"}]}), "spec.components[0].labels: only"),
            (
                json!({"kind": "Deployment", "name": "a", "labels": [{"a b": "c"}]}),
                "spec.components[0].labels: \"a b\"",
            ),
            (json!({"kind": "Deployment", "name": "a", "minReady": "0%"}), "spec.components[0].minReady: \"0%\""),
            (json!({"kind": "Service", "name": "a", "orKinds": ["DaemonSet"]}), "spec.components[0].orKinds: only"),
            (json!({"kind": "Service", "name": "a", "workload": "b"}), "spec.components[0].workload: there is no"),
        ];
        for (component, start) in rows {
            let error = with(component).unwrap_err();
            assert!(error.starts_with(start), "{error}");
        }
        let twice = json!({"kind": "Deployment", "name": "a"});
        let error = read(json!({"title": "B", "namespace": "b", "components": [twice, twice]})).unwrap_err();
        assert_eq!(error, "spec.components[1]: Deployment a is there twice");
        let profiled = |profile: Value| {
            read(json!({"title": "B", "namespace": "b", "components": [{"kind": "Deployment", "name": "a"}],
                "profiles": [profile]}))
            .unwrap_err()
        };
        assert!(profiled(json!({"name": "p", "without": ["b"]})).starts_with("spec.profiles[0].without: there is no"));
        assert!(profiled(json!({"name": "p", "without": []})).starts_with("spec.profiles[0].without: a profile"));
        let other_kind = profiled(json!({"name": "p", "with": ["Service/a"], "without": ["a"]}));
        assert_eq!(other_kind, "spec.profiles[0].with: there is no component \"Service/a\"");
    }

    #[test]
    fn profile_names_components_of_every_kind_or_of_one() {
        let tool = read(json!({"title": "B", "namespace": "b",
            "components": [
                {"kind": "Deployment", "orKinds": ["DaemonSet"], "name": "a"}, {"kind": "Service", "name": "a"},
            ],
            "profiles": [{"name": "p", "with": ["Service/a"], "without": ["DaemonSet/a", "a"]}]}))
        .unwrap();
        let Profile { with, without, .. } = &tool.profiles[0];
        let kinds = with.iter().chain(without).map(|name| name.kind);
        let expected = [Some(ComponentKind::Service), Some(ComponentKind::DaemonSet), None];
        assert_eq!(kinds.collect::<Vec<_>>(), expected);
    }
}
