//! `IntegrationTarget`: one cluster, and all that ksit knows of the tools on it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{KubeconfigSecretRef, conditions, labels, word};

/// One cluster to check.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "IntegrationTarget",
    namespaced,
    status = "IntegrationTargetStatus",
    shortname = "it",
    category = "ksit",
    doc = "A cluster that ksit checks with the kubeconfig of a Secret, and the state of every tool on it.",
    selectable = ".status.phase",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.clusterName"}"#,
    printcolumn = r#"{"name":"Reachable","type":"boolean","jsonPath":".status.ready","description":"ksit can read the cluster"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Healthy","type":"string","jsonPath":".status.healthy","description":"healthy of all tools checked there"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.lastTransitionTime","description":"when the phase last changed"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Server","type":"string","jsonPath":".status.server","priority":1}"#,
    printcolumn = r#"{"name":"Replica","type":"string","jsonPath":".status.reportedBy","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = crate::api::crds::term_rule()
)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationTargetSpec {
    /// The name by which `targetClusters` of Integrations speaks of the cluster; no control characters, and none that
    /// change the direction of text.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::api::common::VISIBLE))]
    pub cluster_name: String,
    /// Kept and shown; changes nothing about where tools are looked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// Labels for `targetSelector` of Integrations, beside `metadata.labels`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Where the kubeconfig is; default: the Secret `<clusterName>-kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_ref: Option<KubeconfigSecretRef>,
    /// Leave the cluster alone, for example during maintenance. It is shown as Paused and counts apart.
    #[serde(default)]
    pub paused: bool,
    /// Leave the cluster alone until then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub paused_until: Option<String>,
}

/// What ksit found on the cluster. Written only when it means something else than before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationTargetStatus {
    /// Running: reachable, and every tool on it is healthy. Degraded: every tool works, and one needs attention. Failed:
    /// unreachable, or a tool is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub phase: Option<String>,
    /// ksit can read the cluster, as the condition `Reachable`. Says nothing of the tools: see `phase`, and the condition
    /// `Ready`. The name is the Go toolkit's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Healthy tools of all that are checked, such as `4/5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// One sentence for a person, of at most 80 characters; the conditions have all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub message: Option<String>,
    /// `Ready`: the phase is Running or Degraded. `Reachable`: ksit can read the cluster. `Watched`: the cluster says itself what changes; where it
    /// can't, it is asked once an interval, and the message says why. `CredentialExpiring`: only while the credential in
    /// the kubeconfig is about to end; the message says when.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Each tool that is checked on the cluster.
    pub integrations: Vec<IntegrationResult>,
    /// Components left out above because there were too many; failing ones are never left out first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components_omitted: Option<u32>,
    /// Host and port that the kubeconfig names.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub server: Option<String>,
    /// When the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// The last transitions of the cluster and of the tools on it, the newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<TransitionRecord>,
    /// When the state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_sync_time: Option<String>,
    /// The generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The version of the kubeconfig Secret that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_resource_version: Option<String>,
    /// The reign of the coordinator that wrote this.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub coordinator_term: Option<i64>,
    /// The installation of ksit that looks after this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub managed_by: Option<String>,
    /// The replica that observed the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub reported_by: Option<String>,
    /// The epoch of the shard map by which that replica owned the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub report_epoch: Option<i64>,
}

impl IntegrationTargetStatus {
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

/// One tool on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationResult {
    /// Name of the Integration.
    pub name: String,
    #[serde(rename = "type")]
    pub type_: String,
    #[schemars(schema_with = "word")]
    pub phase: String,
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Components that are not healthy, or of which there is more to say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    /// The others: kind, place, and how many are ready of how many that are wanted, such as
    /// `Deployment argocd/argocd-server 2/2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub healthy_components: Vec<String>,
}

/// A cluster, or one tool on it, went from one phase to another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TransitionRecord {
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Name of the Integration; absent where the cluster itself became unreachable, say, or reachable again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub integration: Option<String>,
    #[schemars(schema_with = "word")]
    pub from: String,
    #[schemars(schema_with = "word")]
    pub to: String,
    #[schemars(length(max = 64))]
    pub reason: String,
}

/// One component as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentStatus {
    #[schemars(schema_with = "word")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object; of the component where none was found.
    pub name: String,
    /// `Healthy`, `Progressing` (healthy, a roll is under way), `NotReady`, `Absent`, `NotInUse` (optional and
    /// scaled to zero) or `NotSeen` (forbidden).
    pub state: String,
    /// Pods or endpoints that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Pods that are wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
