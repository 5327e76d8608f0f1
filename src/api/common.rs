//! Types and schemas shared by the resources.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::catalogue;

/// Pattern of printable text: no control or formatting characters and no line separators. Letters of any language,
/// spaces and `arn:aws:eks:…:cluster/x` are allowed.
pub(super) const VISIBLE: &str = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$";

/// How to count a cluster on which none of the tool's components exists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenAbsent {
    /// As failed: the tool should be installed there.
    #[default]
    Failed,
    /// As not installed, counted separately, so that one selector can cover a mixed fleet.
    NotInstalled,
}

/// A component to check on a cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.objectName) ? 1 : 0) + (has(self.matchLabels) ? 1 : 0) <= 1")
    .message("objectName and matchLabels exclude each other"))]
#[x_kube(validation = Rule::new("self.kind != 'CustomResourceDefinition' || !has(self.__namespace__)")
    .message("a CustomResourceDefinition has no namespace"))]
#[x_kube(validation = Rule::new("self.kind != 'CustomResourceDefinition' || !has(self.matchLabels)")
    .message("a CustomResourceDefinition is found by its name (plural.group), not by labels"))]
pub struct ComponentSpec {
    /// Kind of the object. A Service is healthy when it has ready endpoints.
    #[schemars(schema_with = "component_kind")]
    pub kind: String,
    /// Name of the component in statuses, and of the object unless `objectName` or `matchLabels` is set.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the object. Defaults to `config.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Exact name of the object on the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub object_name: Option<String>,
    /// Labels of the objects. Every object that has all of them must be healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// The component may be missing or scaled to zero, but must be healthy if it is deployed.
    #[serde(default)]
    pub optional: bool,
    /// Minimum number of ready Pods (for a Service: ready endpoints).
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_ready: u32,
}

fn one() -> u32 {
    1
}

/// Reference to the Secret with a cluster's kubeconfig, in the namespace of the IntegrationTarget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubeconfigSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret. Defaults to the first that exists of `kubeconfig`, `value` and `value.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// Accepted for compatibility with manifests of the Go toolkit. ksit only reads clusters, so `enabled: true` is
/// refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.enabled) || !self.enabled").message(
    "ksit only reads clusters and installs nothing: set autoInstall.enabled to false, or remove autoInstall, \
     and install the tool with Helm, Argo CD or Flux"
))]
pub struct AutoInstall {
    /// Must be false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub method: Option<String>,
    /// Has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helm_config: Option<HelmConfig>,
    /// Has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048))]
    pub manifest_url: Option<String>,
}

/// Accepted for compatibility with manifests of the Go toolkit; has no effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HelmConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048))]
    pub repository: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub chart: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub release_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config")]
    pub values: Option<BTreeMap<String, String>>,
}

fn one_of<'a>(values: impl IntoIterator<Item = &'a str>) -> Schema {
    json_schema!({ "type": "string", "enum": values.into_iter().collect::<Vec<_>>() })
}

pub(super) fn component_kind(_: &mut SchemaGenerator) -> Schema {
    one_of(["Deployment", "StatefulSet", "DaemonSet", "Service", "CustomResourceDefinition"])
}

pub(super) fn integration_type(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = catalogue::tools().iter().map(|tool| tool.name.as_str()).chain(["custom"]).collect();
    json_schema!({
        "type": "string",
        "maxLength": 253,
        "x-kubernetes-validations": [{
            "rule": format!("self in {names:?} || self.contains('.')"),
            "message": format!(
                "type must be one of {}, or the name of an IntegrationType, which has a dot", names.join(", ")
            ),
        }],
    })
}

/// Schema of a phase or similar name written by ksit. Not an enum, since another version may have more of them.
pub(super) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Z][A-Za-z0-9]*$" })
}

/// Maximum length of a label key: a prefix of 253, a slash, and a name of 63.
const MAX_KEY_LENGTH: u32 = 317;
const MAX_LABEL_LENGTH: u32 = 63;

/// Schema of a map of strings, with bounds on its size.
fn string_map(max_entries: u32, max_length: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": max_entries,
        "additionalProperties": { "type": "string", "maxLength": max_length },
        "x-kubernetes-validations": [{
            "rule": format!("self.all(key, size(key) <= {MAX_KEY_LENGTH})"),
            "message": format!("a key has at most {MAX_KEY_LENGTH} characters"),
        }],
    })
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    nullable(string_map(64, MAX_LABEL_LENGTH))
}

pub(super) fn config(_: &mut SchemaGenerator) -> Schema {
    nullable(string_map(100, 1_024))
}

pub(super) fn max_unhealthy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "nullable": true,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 && self <= 1000000 : self.matches('^(100|[0-9]{1,2})%$')",
            "message": "maxUnhealthy must be a number from 0, or a percentage such as 5%",
        }],
    })
}

/// Schema of a number of Pods, or a percentage of them.
pub(super) fn min_ready(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "nullable": true,
        // The bounds hold for numbers, and the pattern for texts. A rule would cost too much for a hundred components.
        "minimum": 1,
        "maximum": 100_000,
        "pattern": "^(100|[1-9][0-9]?)%$",
    })
}

/// Schema of a number of failing objects, a percentage of all, or `never`.
pub(super) fn fail_when(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "nullable": true,
        "minimum": 1,
        "maximum": 1_000_000,
        "pattern": "^((100|[1-9][0-9]?)%|never)$",
    })
}

/// Schema of alternative sets of labels.
pub(super) fn label_sets(_: &mut SchemaGenerator) -> Schema {
    let mut set = string_map(5, MAX_LABEL_LENGTH + 1);
    set.insert("minProperties".to_owned(), 1.into());
    json_schema!({ "type": "array", "maxItems": 8, "items": set })
}

fn match_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = string_map(5, MAX_LABEL_LENGTH);
    schema.insert("minProperties".to_owned(), 1.into());
    nullable(schema)
}

/// Makes the schema nullable, as schemars does for an `Option`.
fn nullable(mut schema: Schema) -> Schema {
    schema.insert("nullable".to_owned(), true.into());
    schema
}

/// Schema of a Kubernetes LabelSelector, with bounds on its size.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let requirement = json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": { "type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH,
                "description": "Key of the label." },
            "operator": { "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                "description": "Relation of the label to `values`." },
            "values": { "type": "array", "maxItems": 100, "nullable": true,
                "items": { "type": "string", "maxLength": MAX_LABEL_LENGTH },
                "description": "Values for In and NotIn, which need at least one." },
        },
    });
    let mut equal = string_map(16, MAX_LABEL_LENGTH);
    equal.insert("description".to_owned(), "Labels that a target must have.".into());
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": nullable(equal),
            "matchExpressions": { "type": "array", "maxItems": 10, "nullable": true, "items": requirement,
                "description": "Requirements on labels. All of them must hold." },
        },
    })
}

/// Schema of a selector that must be given; an empty one selects all.
pub(super) fn required_label_selector(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = label_selector(generator);
    schema.remove("nullable");
    schema
}

/// Schema of a Go duration such as `30s` or `1m30s`.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 32, "pattern": r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$" })
}

/// Schema of the URL of a receiver. A password in it would be shown to everybody who may read the object.
pub(super) fn receiver_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 2_048,
        "x-kubernetes-validations": [{
            "rule": r"self.matches('^https?://[^/@?#\\s]+(/[!-~]*)?$')",
            "message": "url must begin with http:// or https:// and a host, without user and password",
        }],
    })
}

/// Schema of labels of an alert, as Prometheus names them.
pub(super) fn alert_labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": { "type": "string", "minLength": 1, "maxLength": 256, "pattern": VISIBLE },
        "x-kubernetes-validations": [{
            "rule": "self.all(name, size(name) <= 64 && name.matches('^[a-zA-Z_][a-zA-Z0-9_]*$'))",
            "message": "a label of an alert is a name such as team or cost_center",
        }],
    })
}

/// Schema of conditions as a map list, keyed by type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
