//! What more than one resource is made of.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::domain::integrations::TOOLS;

/// Pattern of a text that shows as it is: no control or formatting characters, no separators of lines. Letters of any
/// language, spaces and `arn:aws:eks:…:cluster/x` are fine.
pub(super) const VISIBLE: &str = r"^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+$";

/// What a cluster counts as that has nothing of the tool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WhenAbsent {
    /// A fault: the tool should be there.
    #[default]
    Failed,
    /// Fine, and counted apart, so that one selector can serve a mixed fleet.
    NotInstalled,
}

/// One thing to check on a cluster.
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
    /// What statuses call the component. Also the object's name, unless `objectName` or `matchLabels` is given.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace of the object; default: `config.namespace`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Exact name of the object on the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub object_name: Option<String>,
    /// Labels that the object carries. Every object that has them all must be healthy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "match_labels")]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// The component may be absent or scaled to zero; where it is in use, it must work.
    #[serde(default)]
    pub optional: bool,
    /// How many Pods (for a Service: endpoints) must be ready at the least.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100_000))]
    pub min_ready: u32,
}

fn one() -> u32 {
    1
}

/// Where the kubeconfig of a cluster is kept: a Secret in the same namespace as the IntegrationTarget.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KubeconfigSecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Key in the Secret; default: `kubeconfig`, else `value`, else `value.yaml`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub key: Option<String>,
}

/// Accepted for manifests of the Go toolkit. ksit only reads, so `enabled: true` is refused.
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

/// Accepted for manifests of the Go toolkit; has no effect.
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
    one_of(TOOLS.iter().map(|tool| tool.name).chain(["custom"]))
}

/// A name that ksit itself writes: another version may have more of them than this one.
pub(super) fn word(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": "^[A-Z][A-Za-z0-9]*$" })
}

/// The longest key of a label: a prefix of 253, and a name of 63.
const LONGEST_KEY: u32 = 317;
const LONGEST_LABEL: u32 = 63;

/// A map of texts that can't fill the hub, nor what reads it.
fn texts(most: u32, longest: u32) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": most,
        "additionalProperties": { "type": "string", "maxLength": longest },
        "x-kubernetes-validations": [{
            "rule": format!("self.all(key, size(key) <= {LONGEST_KEY})"),
            "message": format!("a key has at most {LONGEST_KEY} characters"),
        }],
    })
}

pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    nullable(texts(64, LONGEST_LABEL))
}

pub(super) fn config(_: &mut SchemaGenerator) -> Schema {
    nullable(texts(100, 1_024))
}

pub(super) fn max_unhealthy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{ "type": "integer" }, { "type": "string" }],
        "nullable": true,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 && self <= 1000000 : self.matches('^(100|[0-9]{1,2})%$')",
            "message": "maxUnhealthy is a number from 0, or a percentage such as 5%",
        }],
    })
}

fn match_labels(_: &mut SchemaGenerator) -> Schema {
    let mut schema = texts(5, LONGEST_LABEL);
    schema.insert("minProperties".to_owned(), 1.into());
    nullable(schema)
}

/// As an `Option` has it.
fn nullable(mut schema: Schema) -> Schema {
    schema.insert("nullable".to_owned(), true.into());
    schema
}

/// A LabelSelector of the Kubernetes API, with bounds.
pub(super) fn label_selector(_: &mut SchemaGenerator) -> Schema {
    let requirement = json_schema!({
        "type": "object",
        "required": ["key", "operator"],
        "properties": {
            "key": { "type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "description": "The label." },
            "operator": { "type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"],
                "description": "How the label relates to `values`." },
            "values": { "type": "array", "maxItems": 100, "nullable": true,
                "items": { "type": "string", "maxLength": LONGEST_LABEL },
                "description": "For In and NotIn, at least one." },
        },
    });
    let mut equal = texts(16, LONGEST_LABEL);
    equal.insert("description".to_owned(), "Labels that the target carries.".into());
    json_schema!({
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": nullable(equal),
            "matchExpressions": { "type": "array", "maxItems": 10, "nullable": true, "items": requirement,
                "description": "Requirements on labels, which must all hold." },
        },
    })
}

/// Conditions as Kubernetes merges them: one of each type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>();
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
