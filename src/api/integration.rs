//! Defines `Integration`: a tool to check on every cluster that it names or selects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    AutoInstall, ComponentSpec, WhenAbsent, conditions, config, integration_type, label_selector, max_unhealthy, word,
};

/// A tool to check, and the clusters to check it on.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "Integration",
    namespaced,
    status = "IntegrationStatus",
    shortname = "integ",
    category = "ksit",
    doc = "A tool (Argo CD, Flux, Prometheus, Istio, …) that ksit checks on every cluster it names or selects.",
    selectable = ".status.phase",
    printcolumn = r#"{"name":"Type","type":"string","jsonPath":".spec.type"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Healthy","type":"string","jsonPath":".status.healthy","description":"healthy clusters / clusters that count"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.lastTransitionTime","description":"when the phase last changed"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Interval","type":"string","jsonPath":".spec.interval","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = crate::api::crds::term_rule()
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.type != 'custom' || (has(self.components) && size(self.components) > 0)")
    .message("type custom needs at least one entry in components"))]
#[x_kube(validation = Rule::new("self.type == 'custom' || !has(self.components)")
    .message("components is only for type custom; configure built-in types with config"))]
#[x_kube(validation = Rule::new("!has(self.components) || (has(self.config) && 'namespace' in self.config) || \
    self.components.all(c, c.kind == 'CustomResourceDefinition' || has(c.__namespace__))")
    .message("each component needs a namespace, unless config.namespace is set"))]
pub struct IntegrationSpec {
    /// Type of the tool. `custom` checks the objects listed in `components`.
    #[serde(rename = "type")]
    #[schemars(schema_with = "integration_type")]
    pub type_: String,
    /// Whether to check the tool at all. A disabled Integration is shown as Paused.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Clusters to check, by `spec.clusterName` of IntegrationTargets in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.map(name, size(name)).sum() <= 100000")
        .message("targetClusters may have at most 100,000 characters in all: use targetSelector for so many clusters"))]
    pub target_clusters: Option<Vec<String>>,
    /// Clusters to check, by labels of IntegrationTargets in the same namespace: `metadata.labels`, which take
    /// precedence, and `spec.labels`. Adds to `targetClusters`. An empty selector selects all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub target_selector: Option<LabelSelector>,
    /// Location of the tool and criteria of its health: `namespace`, `minReady`, `required`, `optional`, `ignore`
    /// (lists of component names, comma-separated), and per component `namespace.NAME`, `name.NAME`, `minReady.NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config")]
    pub config: Option<BTreeMap<String, String>>,
    /// Components to check, for `type: custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub components: Option<Vec<ComponentSpec>>,
    /// Interval between checks of each cluster: a Go duration from 1s to 24h, such as `30s` or `1m30s`. Defaults to the
    /// operator's setting (30s). If several Integrations check a cluster, the shortest interval applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"), length(max = 32))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("interval must be from 1s to 24h"))]
    pub interval: Option<String>,
    /// How to count a cluster on which none of the tool's components exists.
    #[serde(default)]
    pub when_absent: WhenAbsent,
    /// Versions of the tool that are wanted, such as `>=2.11.0 <3`. A cluster with another one is Degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub versions: Option<String>,
    /// Limit of unhealthy clusters (broken, unreachable or unknown): a number, or a percentage of the clusters that
    /// count, rounded down, such as `5%`. Up to it the Integration is Degraded, above it Failed. Defaults to 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_unhealthy")]
    pub max_unhealthy: Option<IntOrString>,
    /// Accepted for compatibility with manifests of the Go toolkit; `enabled: true` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_install: Option<AutoInstall>,
}

fn yes() -> bool {
    true
}

/// State of the tool over all clusters. Written only when its meaning changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationStatus {
    /// Running: healthy on every cluster that counts. Degraded: works, but needs attention on some cluster, or no more
    /// clusters are unhealthy than `maxUnhealthy` allows. Failed: more are unhealthy, or the spec is invalid.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub phase: Option<String>,
    /// Healthy clusters out of those that count, such as `2997/3000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// Human-readable summary of at most 80 characters; the conditions have the full message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub message: Option<String>,
    /// `Ready`: the tool works, that is, the phase is Running or Degraded. `Accepted`: the spec is valid.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Number of clusters in each state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetCounts>,
    /// Number of clusters by version of the tool, newest first; at most 20.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub versions: Vec<VersionSummary>,
    /// Objects that the tool manages on all clusters, by kind. Failing ones are as new as this status; other counts are
    /// some minutes old.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub resources: Vec<ResourceTotals>,
    /// At most 100 clusters: those where the tool is broken, then unreachable ones, then the others, worst first. If
    /// there are more than 100, healthy ones and those without the tool are omitted. See the IntegrationTargets for
    /// details.
    #[schemars(length(max = 100))]
    pub clusters: Vec<ClusterSummary>,
    /// Generation of the spec that this status is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Time when the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Time when the state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_sync_time: Option<String>,
    /// Term of the coordinator that wrote this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub coordinator_term: Option<i64>,
    /// Installation of ksit that manages this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub managed_by: Option<String>,
}

impl IntegrationStatus {
    /// The message at full length, from the condition `Ready`.
    pub fn full_message(&self) -> Option<&str> {
        let ready = self.conditions.iter().find(|condition| condition.type_ == "Ready");
        ready.map(|ready| ready.message.as_str()).or(self.message.as_deref())
    }
}

/// Number of clusters with a version of the tool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VersionSummary {
    /// The version, without a leading `v`.
    #[schemars(length(max = 63))]
    pub version: String,
    /// Clusters that run it.
    pub clusters: u32,
}

/// Objects of one kind that the tool manages on all clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceTotals {
    /// Such as `Application`.
    #[schemars(schema_with = "word")]
    pub kind: String,
    pub total: u32,
    /// Objects that do not do their job.
    pub failing: u32,
    pub progressing: u32,
    pub suspended: u32,
    /// Objects whose rules can't be evaluated.
    pub unknown: u32,
    /// Clusters on which some fail.
    pub clusters_failing: u32,
}

/// Counts of clusters. Paused clusters and those without the tool (`whenAbsent: NotInstalled`) do not count towards
/// `healthy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetCounts {
    pub total: u32,
    pub running: u32,
    /// The tool works there, but needs attention.
    pub degraded: u32,
    /// The tool is broken there.
    pub failed: u32,
    /// ksit can't read the cluster, so the state of the tool is not known.
    pub unreachable: u32,
    pub unknown: u32,
    pub initializing: u32,
    pub paused: u32,
    pub not_installed: u32,
}

/// State of the tool on one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSummary {
    /// `spec.clusterName`.
    pub name: String,
    /// Name of the IntegrationTarget; absent if none has this cluster name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[schemars(schema_with = "word")]
    pub phase: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
