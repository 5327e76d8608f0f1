//! Validates specs and converts them to the domain.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;

use super::access::{AccessError, target_access};
use super::keys::object_key;
use super::types::Types;
use crate::api::{ComponentSpec, Integration, IntegrationTarget, KubeconfigSecretRef, SLOT_LABEL, WhenAbsent};
use crate::domain::aggregate::Selection;
use crate::domain::component::{Component, ComponentKind, Finder, MinReady, Presence};
use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::evaluate;
use crate::domain::expected::Expected;
use crate::domain::integrations::expected_of;
use crate::domain::reason::{Failure, Reason};
use crate::domain::roll_up::MaxUnhealthy;
use crate::domain::selector::{Requirement, Selector};
use crate::domain::version::VersionRange;

/// Limits on a target's labels, in number and bytes. The CRD can't bound `metadata.labels`.
const MAX_LABELS: usize = 128;
const MAX_LABEL_BYTES: usize = 32 * 1024;

/// Why a stored object is unusable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    #[error("spec.pausedUntil: {0:?} is not a time such as 2030-01-31T08:00:00Z")]
    PausedUntil(String),
    #[error("spec.access: give exactly one of oidc, eks, gke, aks and clusterProfile; the latter alone")]
    Access,
    #[error("spec.clusterName is empty")]
    ClusterName,
    #[error(
        "metadata.labels and spec.labels hold more than {MAX_LABELS} labels or {} KiB together",
        MAX_LABEL_BYTES >> 10
    )]
    Labels,
}

/// Validates an `IntegrationTarget`.
pub fn target(object: &IntegrationTarget) -> Result<DesiredTarget, SpecError> {
    let spec = &object.spec;
    if spec.cluster_name.is_empty() {
        return Err(SpecError::ClusterName);
    }
    let paused_until = match &spec.paused_until {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| SpecError::PausedUntil(text.clone()))?),
    };
    let mut labels = spec.labels.clone().unwrap_or_default();
    labels.extend(object.labels().clone());
    let label_bytes: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
    if labels.len() > MAX_LABELS || label_bytes > MAX_LABEL_BYTES {
        return Err(SpecError::Labels);
    }
    // Selectors must not match ksit's own label.
    labels.remove(SLOT_LABEL);
    let secret = spec
        .kubeconfig_secret_ref
        .clone()
        .unwrap_or_else(|| KubeconfigSecretRef { name: format!("{}-kubeconfig", spec.cluster_name), key: None });
    let namespace = object.namespace().unwrap_or_default();
    let access = spec.access.as_ref().map(|access| target_access(access, &namespace)).transpose();
    let access = access.map_err(|AccessError| SpecError::Access)?;
    Ok(DesiredTarget {
        key: object_key(object).into(),
        cluster_name: spec.cluster_name.as_str().into(),
        labels,
        secret_name: secret.name,
        secret_key: secret.key,
        access,
        paused: spec.paused,
        paused_until,
        generation: object.metadata.generation.unwrap_or(0),
    })
}

/// Validates an `Integration`, whose type may be one of `types`. An error ends up in `expected`, and from there in the
/// status.
pub fn integration(object: &Integration, types: &Types) -> DesiredIntegration {
    let spec = &object.spec;
    let interval = spec.interval.as_deref().map(interval).transpose();
    let selector = spec.target_selector.as_ref().map(selector).transpose();
    let max_unhealthy = spec.max_unhealthy.as_ref().map(max_unhealthy).transpose();
    let versions = spec.versions.as_deref().map(versions).transpose();
    let faults = [interval.clone().err(), selector.clone().err(), max_unhealthy.clone().err(), versions.clone().err()];
    let expected = match faults.into_iter().flatten().next() {
        Some(fault) => Err(Failure::new(Reason::InvalidConfig, fault)),
        None => expected(object, types).map(|expected| Expected { versions: versions.unwrap_or_default(), ..expected }),
    };
    DesiredIntegration {
        key: object_key(object).into(),
        type_name: spec.type_.clone(),
        enabled: spec.enabled,
        selection: Selection {
            cluster_names: spec.target_clusters.iter().flatten().cloned().collect(),
            selector: selector.unwrap_or_default(),
        },
        expected,
        when_absent: match spec.when_absent {
            WhenAbsent::Failed => evaluate::WhenAbsent::Failed,
            WhenAbsent::NotInstalled => evaluate::WhenAbsent::NotInstalled,
        },
        max_unhealthy: max_unhealthy.ok().flatten().unwrap_or_default(),
        interval: interval.unwrap_or_default(),
        wants_install: spec.auto_install.as_ref().and_then(|auto| auto.enabled).unwrap_or(false),
        generation: object.metadata.generation.unwrap_or(0),
    }
}

fn versions(text: &str) -> Result<VersionRange, String> {
    VersionRange::parse(text)
        .map_err(|error| format!("spec.versions: {text:?} is no range such as \">=2.11.0 <3\": {error}"))
}

fn max_unhealthy(value: &IntOrString) -> Result<MaxUnhealthy, String> {
    let (parsed, text) = match value {
        IntOrString::Int(number) => (u32::try_from(*number).ok().map(MaxUnhealthy::Number), number.to_string()),
        IntOrString::String(text) => (MaxUnhealthy::parse(text), format!("{text:?}")),
    };
    parsed.ok_or_else(|| format!("spec.maxUnhealthy: {text} is neither a number from 0 nor a percentage such as 5%"))
}

fn expected(object: &Integration, types: &Types) -> Result<Expected, Failure> {
    let spec = &object.spec;
    let config = spec.config.clone().unwrap_or_default();
    let invalid = |message: String| Failure::new(Reason::InvalidConfig, message);
    if spec.type_ == "custom" {
        let components = spec.components.as_deref().unwrap_or_default();
        return custom(components, &config).map(Expected::from).map_err(invalid);
    }
    let tool = types.find(&object.namespace().unwrap_or_default(), &spec.type_)?;
    expected_of(tool, &config).map_err(|error| invalid(error.to_string()))
}

fn custom(specs: &[ComponentSpec], config: &BTreeMap<String, String>) -> Result<Vec<Component>, String> {
    if specs.is_empty() {
        return Err("spec.components: type custom needs at least one".to_owned());
    }
    if let Some(key) = config.keys().find(|key| *key != "namespace") {
        return Err(format!("spec.config: {key:?} is not known for type custom; the only key is namespace"));
    }
    specs.iter().enumerate().map(|(index, spec)| component(index, spec, config.get("namespace"))).collect()
}

fn component(index: usize, spec: &ComponentSpec, namespace: Option<&String>) -> Result<Component, String> {
    let ComponentSpec { kind, name, namespace: own, object_name, match_labels, optional, min_ready } = spec;
    let kind =
        ComponentKind::parse(kind).ok_or_else(|| format!("spec.components[{index}].kind: {kind:?} is not known"))?;
    let namespace = match (kind, own.as_ref().or(namespace)) {
        (ComponentKind::Crd, _) => String::new(),
        (_, Some(namespace)) => namespace.clone(),
        (_, None) => return Err(format!("spec.components[{index}].namespace: missing, as is config.namespace")),
    };
    Ok(Component {
        finder: match (match_labels, object_name) {
            (Some(labels), _) => Finder { labels: vec![labels.clone()], names: Vec::new() },
            (None, Some(object)) => Finder::by_name(object.clone()),
            (None, None) => Finder::by_name(name.clone()),
        },
        presence: if *optional { Presence::Optional } else { Presence::Required },
        // 1 is the default of the field, and what each kind needs anyway.
        min_ready: (*min_ready > 1).then_some(MinReady::Pods(*min_ready)),
        ..Component::required(kind, name.clone(), namespace)
    })
}

/// Parses an interval, with the same bounds as the CRD.
fn interval(text: &str) -> Result<Duration, String> {
    duration("spec.interval", text, Duration::from_secs(1)..=Duration::from_secs(24 * 3_600))
}

/// A Go duration within these bounds.
pub(super) fn duration(field: &str, text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    match text.parse::<SignedDuration>().map(Duration::try_from) {
        Ok(Ok(found)) if bounds.contains(&found) => Ok(found),
        _ => {
            let words = |bound: &Duration| match bound.as_secs() {
                seconds if seconds % 3_600 == 0 && seconds > 0 => format!("{}h", seconds / 3_600),
                seconds if seconds % 60 == 0 && seconds > 0 => format!("{}m", seconds / 60),
                seconds => format!("{seconds}s"),
            };
            let (shortest, longest) = (words(bounds.start()), words(bounds.end()));
            Err(format!("{field}: {text:?} is not a duration from {shortest} to {longest}"))
        }
    }
}

pub(super) fn selector(selector: &LabelSelector) -> Result<Selector, String> {
    let LabelSelector { match_labels, match_expressions } = selector;
    let equal = match_labels.iter().flatten().map(|(key, value)| Requirement::In(key.clone(), [value.clone()].into()));
    let mut all: Vec<Requirement> = equal.collect();
    for LabelSelectorRequirement { key, operator, values } in match_expressions.iter().flatten() {
        let values = values.iter().flatten().cloned().collect();
        all.push(match operator.as_str() {
            "In" => Requirement::In(key.clone(), values),
            "NotIn" => Requirement::NotIn(key.clone(), values),
            "Exists" => Requirement::Exists(key.clone()),
            "DoesNotExist" => Requirement::DoesNotExist(key.clone()),
            other => {
                return Err(format!(
                    "spec.targetSelector.matchExpressions: operator {other:?} is not one of In, NotIn, Exists, DoesNotExist"
                ));
            }
        });
    }
    Ok(Selector(all))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(spec: serde_json::Value) -> DesiredIntegration {
        let object = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
            "metadata": {"name": "i", "namespace": "fleet", "generation": 3}, "spec": spec});
        integration(&serde_json::from_value(object).unwrap(), &Types::default())
    }

    fn complaint(spec: serde_json::Value) -> String {
        parsed(spec).expected.unwrap_err().message
    }

    #[test]
    fn errors_name_the_field() {
        assert!(complaint(json!({"type": "argo"})).starts_with("spec.type: \"argo\" is not known; use one of argocd"));
        assert_eq!(
            complaint(json!({"type": "argocd", "interval": "1 fortnight"})),
            "spec.interval: \"1 fortnight\" is not a duration from 1s to 24h"
        );
        for (value, text) in [(json!(-1), "-1"), (json!("101%"), "\"101%\"")] {
            assert_eq!(
                complaint(json!({"type": "argocd", "maxUnhealthy": value})),
                format!("spec.maxUnhealthy: {text} is neither a number from 0 nor a percentage such as 5%")
            );
        }
        assert_eq!(
            complaint(json!({"type": "custom", "components": [{"kind": "Deployment", "name": "web"}]})),
            "spec.components[0].namespace: missing, as is config.namespace"
        );
        assert!(
            complaint(json!({"type": "argocd", "targetSelector":
                {"matchExpressions": [{"key": "a", "operator": "Near"}]}}))
            .contains("\"Near\" is not one of")
        );
    }

    #[test]
    fn interval_is_a_go_duration() {
        let rows = [("30s", 30_000), ("1m30s", 90_000), ("1h0m0s", 3_600_000), ("1.5h", 5_400_000), ("1500ms", 1_500)];
        for (text, millis) in rows {
            let interval = parsed(json!({"type": "argocd", "interval": text})).interval;
            assert_eq!(interval, Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn custom_component_is_found_by_name_or_labels() {
        let found = parsed(json!({"type": "custom", "config": {"namespace": "web"}, "components": [
            {"kind": "Deployment", "name": "front"},
            {"kind": "StatefulSet", "name": "db", "namespace": "data", "matchLabels": {"app": "db"}, "minReady": 3},
            {"kind": "CustomResourceDefinition", "name": "things.example.com", "optional": true}]}))
        .expected
        .unwrap()
        .components;
        assert_eq!(found[0].finder, Finder::by_name("front"));
        assert_eq!(
            (found[1].namespace.as_str(), found[1].min_ready, found[1].finder.names.len()),
            ("data", Some(MinReady::Pods(3)), 0)
        );
        assert_eq!((found[2].kind, found[2].presence), (ComponentKind::Crd, Presence::Optional));
    }

    #[test]
    fn manifest_of_the_go_toolkit_is_accepted() {
        let found = parsed(json!({"type": "argocd", "enabled": true, "targetClusters": ["in-cluster"],
            "autoInstall": {"enabled": true, "method": "helm"}, "config": {"namespace": "argocd"}}));
        assert!(found.expected.is_ok() && found.wants_install && found.enabled);
    }

    #[test]
    fn secret_name_defaults_to_the_cluster_name() {
        let object = |spec: serde_json::Value| -> DesiredTarget {
            target(
                &serde_json::from_value(json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
                "metadata": {"name": "t", "namespace": "fleet", "labels": {"env": "prod"}}, "spec": spec}))
                .unwrap(),
            )
            .unwrap()
        };
        let usual = object(json!({"clusterName": "c1", "labels": {"env": "qa", "region": "eu"}}));
        assert_eq!((usual.secret_name.as_str(), usual.secret_key), ("c1-kubeconfig", None));
        assert_eq!((usual.labels["env"].as_str(), usual.labels["region"].as_str()), ("prod", "eu"));
        let own = object(json!({"clusterName": "c1", "kubeconfigSecretRef": {"name": "s", "key": "k"}}));
        assert_eq!((own.secret_name.as_str(), own.secret_key.as_deref()), ("s", Some("k")));
    }
}
