//! Defines `IntegrationType`: a tool that the user wants checked, as data.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, fail_when, label_sets, min_ready};

/// A tool to check, in the form in which the built-in ones are written.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "IntegrationType",
    namespaced,
    status = "IntegrationTypeStatus",
    shortname = "integtype",
    category = "ksit",
    doc = "A type of Integration for a tool that ksit does not know: its objects, and how they are found.",
    printcolumn = r#"{"name":"Title","type":"string","jsonPath":".spec.title"}"#,
    printcolumn = r#"{"name":"Namespace","type":"string","jsonPath":".spec.namespace"}"#,
    printcolumn = r#"{"name":"Accepted","type":"string","jsonPath":".status.conditions[?(@.type=='Accepted')].status"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.conditions[?(@.type=='Accepted')].message"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = Rule::new("self.metadata.name.contains('.')")
        .message("the name of a type needs a dot, such as backstage.example.com; names without one are built in")
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IntegrationTypeSpec {
    /// Name of the tool for people, such as `Backstage`.
    #[schemars(length(min = 1, max = 63), extend("pattern" = crate::api::common::VISIBLE))]
    pub title: String,
    /// Usual namespace of the tool. `config.namespace` of an Integration replaces it.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Objects that make up the tool.
    #[schemars(length(min = 1, max = 100))]
    pub components: Vec<TypeComponent>,
    /// Component whose version is the tool's. Defaults to the first required workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<TypeVersion>,
    /// Official shapes of the tool without some of the required components, in order of preference.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub profiles: Vec<TypeProfile>,
    /// Objects that the tool manages, such as Applications of Argo CD: each is judged, and failing ones are counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub resources: Vec<TypeResource>,
}

/// A kind of object that the tool manages.
///
/// An object is judged by its conditions, as kstatus does: `Stalled` or `Ready` False means failing. Expressions in CEL
/// over `object` and `now` are the exceptions, in the order in which they stand here. An object that lacks a field which
/// an expression reads does not satisfy it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypeResource {
    /// Group and version, such as `argoproj.io/v1alpha1`.
    #[schemars(length(min = 1, max = 253))]
    pub api_version: String,
    /// Versions of earlier releases, newest first, for clusters that do not serve the one above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), inner(length(min = 1, max = 63)))]
    pub or_versions: Vec<String>,
    /// Kind of the objects, such as `Application`.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Plural in URLs, where it does not follow from the kind by the usual rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub plural: Option<String>,
    /// Namespaces in which the objects are read. Defaults to all, which needs rights on the whole cluster.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
    /// Whether the object is paused, such as `object.spec.suspend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub suspended: Option<String>,
    /// Whether the object is on its way, although its conditions may say otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub progressing: Option<String>,
    /// Whether the object fails, although its conditions may say otherwise, such as `object.status.phase == 'Failed'`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub failed: Option<String>,
    /// Reason of a failing object, as one CamelCase word. Defaults to that of its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reason: Option<String>,
    /// Failing objects that make the tool fail: a number, a percentage of all such as `10%`, or `never`. Fewer make it
    /// Degraded. Defaults to `never`: they are counted, and say nothing about the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fail_when")]
    pub fail_when: Option<IntOrString>,
}

/// A component of the tool: all objects of its kinds with one of the label sets, else those with one of the names.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.apiVersion) || self.kind in ['Deployment', 'StatefulSet', 'DaemonSet', \
    'Service', 'CustomResourceDefinition', 'APIService', 'ValidatingWebhookConfiguration', \
    'MutatingWebhookConfiguration']")
    .message("a kind that ksit has no rules for needs its apiVersion"))]
#[x_kube(validation = Rule::new("!has(self.labels) || self.kind in ['Deployment', 'StatefulSet', 'DaemonSet', 'Service']")
    .message("only a Deployment, StatefulSet, DaemonSet or Service is found by labels; others by their name"))]
pub struct TypeComponent {
    /// Usual kind of its objects. A Lease (`coordination.k8s.io/v1`) fails when its holder has not renewed it for five
    /// of its durations. Any other kind without rules of its own is judged by its conditions, as kstatus does.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Z][A-Za-z0-9]*$"))]
    pub kind: String,
    /// Group and version of a kind without rules of its own, such as `velero.io/v1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub api_version: Option<String>,
    /// Kinds that its objects may have instead: a tool may run as a Deployment or as a DaemonSet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub or_kinds: Vec<WorkloadKind>,
    /// Name of the component in `config` and statuses; its usual object has the same.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Label sets; an object needs all labels of any one. A value may be `prefix*`, or `!value` for "absent or
    /// different".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "label_sets")]
    pub labels: Vec<BTreeMap<String, String>>,
    /// Other names of its objects. Names count only if no object has the labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 253)))]
    pub names: Vec<String>,
    /// Its usual namespace, if that is not the tool's. `config.namespace` does not replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Other namespaces in which its objects may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(min = 1, max = 63)))]
    pub or_namespaces: Vec<String>,
    /// The component may be missing or scaled to zero, but must work if it is deployed.
    #[serde(default, skip_serializing_if = "is_false")]
    pub optional: bool,
    /// Whether its presence proves that the tool is installed. Defaults to true for a required workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<bool>,
    /// Minimum of ready Pods or endpoints: a number, or a percentage of the desired Pods such as `90%`. Defaults to
    /// what the controller of its kind calls available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "min_ready")]
    pub min_ready: Option<IntOrString>,
    /// Its Pods vote: an odd number of 3 or more needs a majority.
    #[serde(default, skip_serializing_if = "is_false")]
    pub quorum: bool,
    /// For a Service or webhook: component whose Pods answer. While that is absent or scaled to zero, neither is this
    /// in use. Defaults to the component of the same name for a Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub workload: Option<String>,
}

/// Where the version of the tool is read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypeVersion {
    /// Name of the component.
    #[schemars(length(min = 1, max = 253))]
    pub component: String,
}

/// A kind that runs Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
}

/// `name` or `Kind/name`.
const COMPONENT_NAME: &str = r"^([A-Z][A-Za-z0-9]*/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";

/// A shape in which the tool is officially installed without some of its required components.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TypeProfile {
    /// Name of the shape, as in the tool's documentation.
    #[schemars(length(min = 1, max = 63), extend("pattern" = crate::api::common::VISIBLE))]
    pub name: String,
    /// Components that must be there: names, or `Kind/name` if several kinds have the name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 317), regex(pattern = COMPONENT_NAME)))]
    pub with: Vec<String>,
    /// Components that are all absent, named in the same way.
    #[schemars(length(min = 1, max = 100), inner(length(min = 1, max = 317), regex(pattern = COMPONENT_NAME)))]
    pub without: Vec<String>,
}

/// Whether ksit can use the type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationTypeStatus {
    /// `Accepted`: the type can be used.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Generation of the spec that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
}

fn is_false(value: &bool) -> bool {
    !value
}
