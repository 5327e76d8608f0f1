//! `Integration`: one tool, checked on every cluster that it names or selects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{
    AutoInstall, ComponentSpec, WhenAbsent, conditions, config, integration_type, label_selector, max_unhealthy, word,
};

/// One tool to check, and the clusters to check it on.
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
    printcolumn = r#"{"name":"Healthy","type":"string","jsonPath":".status.healthy","description":"healthy of all clusters that count"}"#,
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
    .message("components goes with type custom only; built-in types are tuned by config"))]
#[x_kube(validation = Rule::new("!has(self.components) || (has(self.config) && 'namespace' in self.config) || \
    self.components.all(c, c.kind == 'CustomResourceDefinition' || has(c.__namespace__))")
    .message("each component needs a namespace, unless config.namespace gives one for all"))]
pub struct IntegrationSpec {
    /// The tool. `custom` checks what `components` lists.
    #[serde(rename = "type")]
    #[schemars(schema_with = "integration_type")]
    pub type_: String,
    /// Whether the tool is checked at all. A disabled Integration is shown as Paused.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Clusters by `spec.clusterName` of IntegrationTargets in the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 10_000), inner(length(min = 1, max = 253)))]
    #[x_kube(validation = Rule::new("self.map(name, size(name)).sum() <= 100000")
        .message("targetClusters may hold 100,000 characters in all: select so many clusters by targetSelector"))]
    pub target_clusters: Option<Vec<String>>,
    /// Clusters by labels of IntegrationTargets in the same namespace (`metadata.labels`, and `spec.labels` where
    /// the former say nothing). Adds to `targetClusters`. An empty selector takes all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    pub target_selector: Option<LabelSelector>,
    /// Where the tool is and how it is judged: `namespace`, `minReady`, `required`, `optional`, `ignore` (component
    /// names, comma-separated), and for one component `namespace.NAME`, `name.NAME`, `minReady.NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "config")]
    pub config: Option<BTreeMap<String, String>>,
    /// What to check, for `type: custom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub components: Option<Vec<ComponentSpec>>,
    /// How often each cluster is checked: a Go duration such as `30s` (the default, set on the operator) or `1m30s`,
    /// from 1s to 24h. Of several Integrations on one cluster the shortest counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"), length(max = 32))]
    #[x_kube(validation = Rule::new("duration(self) >= duration('1s') && duration(self) <= duration('24h')")
        .message("interval must be from 1s to 24h"))]
    pub interval: Option<String>,
    /// What a cluster counts as that has nothing of the tool.
    #[serde(default)]
    pub when_absent: WhenAbsent,
    /// So many clusters may be unhealthy (broken, unreachable or unknown) before the Integration is Failed: a number, or
    /// a percentage of the clusters that count, rounded down, such as `5%`. Up to that it is Degraded. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "max_unhealthy")]
    pub max_unhealthy: Option<IntOrString>,
    /// Accepted for manifests of the Go toolkit; `enabled: true` is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_install: Option<AutoInstall>,
}

fn yes() -> bool {
    true
}

/// What ksit found, over all clusters. Written only when it means something else than before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationStatus {
    /// Running: healthy on every cluster that counts. Degraded: works, and needs attention somewhere; or no more clusters
    /// are unhealthy than `maxUnhealthy` allows. Failed: more are, or the spec can't be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub phase: Option<String>,
    /// Healthy clusters of all that count, such as `2997/3000`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// One sentence for a person, of at most 80 characters; the conditions have all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub message: Option<String>,
    /// `Ready`: the tool works, that is the phase is Running or Degraded. `Accepted`: the spec can be used as it is.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// How many clusters are in which state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub targets: Option<TargetCounts>,
    /// At most 100 clusters: first those where the tool is broken, then unreachable ones, then the others, worst first;
    /// of more than 100, none that is healthy or without the tool. All detail of a cluster is on its IntegrationTarget.
    #[schemars(length(max = 100))]
    pub clusters: Vec<ClusterSummary>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// When the state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_sync_time: Option<String>,
    /// The reign of the coordinator that wrote this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub coordinator_term: Option<i64>,
    /// The installation of ksit that looks after this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub managed_by: Option<String>,
}

impl IntegrationStatus {
    /// All of `message`.
    pub fn full_message(&self) -> Option<&str> {
        let ready = self.conditions.iter().find(|condition| condition.type_ == "Ready");
        ready.map(|ready| ready.message.as_str()).or(self.message.as_deref())
    }
}

/// Counts of clusters. Paused clusters and those without the tool (`whenAbsent: NotInstalled`) don't count in
/// `healthy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TargetCounts {
    pub total: u32,
    pub running: u32,
    /// The tool works there, and needs attention.
    pub degraded: u32,
    /// The tool is broken there.
    pub failed: u32,
    /// ksit can't read the cluster, which says nothing of the tool.
    pub unreachable: u32,
    pub unknown: u32,
    pub initializing: u32,
    pub paused: u32,
    pub not_installed: u32,
}

/// One cluster as an Integration sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSummary {
    /// `spec.clusterName`.
    pub name: String,
    /// Name of the IntegrationTarget; absent where no target has the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    #[schemars(schema_with = "word")]
    pub phase: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
