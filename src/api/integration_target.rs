//! Defines `IntegrationTarget`: a cluster, and the state of the tools on it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::ClusterAccess;
use super::common::{KubeconfigSecretRef, conditions, labels, word};
use crate::domain::object_names::place;

/// A cluster to check.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "IntegrationTarget",
    namespaced,
    status = "IntegrationTargetStatus",
    shortname = "it",
    category = "ksit",
    doc = "A cluster that ksit checks with the kubeconfig from a Secret, and the state of every tool on it.",
    selectable = ".status.phase",
    printcolumn = r#"{"name":"Cluster","type":"string","jsonPath":".spec.clusterName"}"#,
    printcolumn = r#"{"name":"Reachable","type":"boolean","jsonPath":".status.ready","description":"ksit can read the cluster"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Healthy","type":"string","jsonPath":".status.healthy","description":"healthy tools / tools checked on the cluster"}"#,
    printcolumn = r#"{"name":"Since","type":"date","jsonPath":".status.lastTransitionTime","description":"when the phase last changed"}"#,
    printcolumn = r#"{"name":"Maintenance","type":"string","jsonPath":".status.maintenance.name","description":"the maintenance window that is open"}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message"}"#,
    printcolumn = r#"{"name":"Server","type":"string","jsonPath":".status.server","priority":1}"#,
    printcolumn = r#"{"name":"Replica","type":"string","jsonPath":".status.reportedBy","priority":1}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    validation = crate::api::crds::term_rule(),
    validation = Rule::new("!has(self.spec.access) || !has(self.spec.kubeconfigSecretRef)")
        .message("access and kubeconfigSecretRef exclude each other")
)]
#[serde(rename_all = "camelCase")]
pub struct IntegrationTargetSpec {
    /// Name of the cluster, for `targetClusters` of Integrations. Must not contain control characters or characters
    /// that change the direction of text.
    #[schemars(length(min = 1, max = 253), extend("pattern" = crate::api::common::VISIBLE))]
    pub cluster_name: String,
    /// Informational; has no effect on the namespaces in which tools are checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// Labels for `targetSelector` of Integrations, in addition to `metadata.labels`, which take precedence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "labels")]
    pub labels: Option<BTreeMap<String, String>>,
    /// Secret with the kubeconfig. Defaults to `<clusterName>-kubeconfig`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig_secret_ref: Option<KubeconfigSecretRef>,
    /// Signs in to the cluster with an identity of the operator instead of a kubeconfig: no Secret is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<ClusterAccess>,
    /// Stops checking the cluster, for example during maintenance. It is shown as Paused and counted separately.
    #[serde(default)]
    pub paused: bool,
    /// Stops checking the cluster until this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("format" = "date-time"))]
    pub paused_until: Option<String>,
}

/// State of the cluster. Written only when its meaning changes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationTargetStatus {
    /// Running: the cluster is reachable and every tool on it is healthy. Degraded: every tool works, but one needs
    /// attention. Failed: the cluster is unreachable, or a tool is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "word")]
    pub phase: Option<String>,
    /// Whether ksit can read the cluster, like the condition `Reachable`. For the state of the tools, see `phase` and
    /// the condition `Ready`. The name is from the Go toolkit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Healthy tools out of those that are checked, such as `4/5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthy: Option<String>,
    /// Human-readable summary of at most 80 characters; the conditions have the full message.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4_096))]
    pub message: Option<String>,
    /// `Ready`: the phase is Running or Degraded. `Reachable`: ksit can read the cluster. `Watched`: ksit watches the
    /// cluster for changes; if False, it polls once per interval, and the message has the cause. `CredentialExpiring`:
    /// the credential in the kubeconfig expires soon; the message has the time. Present only while that is the case.
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// State of each tool that is checked on the cluster.
    pub integrations: Vec<IntegrationResult>,
    /// Number of components omitted above because there were too many; healthy ones are omitted first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components_omitted: Option<u32>,
    /// Host and port of the API server, from the kubeconfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub server: Option<String>,
    /// Time when the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Maintenance window that covers the cluster now. Its phase is what ksit finds all the same; nobody is notified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<MaintenanceStatus>,
    /// Last phase changes of the cluster and of the tools on it, newest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub history: Vec<TransitionRecord>,
    /// Time when the state last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_sync_time: Option<String>,
    /// Generation of the spec that this status is based on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// resourceVersion of the kubeconfig Secret that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub secret_resource_version: Option<String>,
    /// Term of the coordinator that wrote this status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub coordinator_term: Option<i64>,
    /// Installation of ksit that manages this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 317))]
    pub managed_by: Option<String>,
    /// Replica that checked the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub reported_by: Option<String>,
    /// Epoch of the shard map in which that replica owned the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9_007_199_254_740_991i64))]
    pub report_epoch: Option<i64>,
}

impl IntegrationTargetStatus {
    /// The condition of this type; `None` until it is first set.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

/// A maintenance window while it is open. If several cover the cluster, the one that ends last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MaintenanceStatus {
    /// Name of the MaintenanceWindow.
    #[schemars(length(max = 253))]
    pub name: String,
    /// End of the window.
    #[schemars(extend("format" = "date-time"))]
    pub until: String,
    /// Integrations that it covers; absent for all and for the cluster itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub integrations: Vec<String>,
}

/// State of one tool on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct IntegrationResult {
    /// Name of the Integration.
    pub name: String,
    /// Type of the Integration, such as argocd.
    #[serde(rename = "type")]
    pub type_: String,
    /// State of the tool, such as Running, Degraded or Failed.
    #[schemars(schema_with = "word")]
    pub phase: String,
    /// Cause of the phase, in one CamelCase word.
    pub reason: String,
    /// Cause and remedy in a sentence; absent if there is nothing to explain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Version of the tool: the newest that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub version: Option<String>,
    /// Time when the phase last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: Option<String>,
    /// Components that are not healthy, or that need more than one line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub components: Vec<ComponentStatus>,
    /// All other components in short form: kind, namespace and name, and ready/desired replicas, such as
    /// `Deployment argocd/argocd-server 2/2`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub healthy_components: Vec<String>,
    /// Objects that the tool manages, such as Applications, by kind.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub resources: Vec<ResourceCounts>,
}

/// Objects of one kind that the tool manages on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceCounts {
    /// Such as `Application`.
    #[schemars(schema_with = "word")]
    pub kind: String,
    /// All objects. The counts are at most a minute old; that of failing objects a second.
    pub total: u32,
    /// Objects that do not do their job.
    pub failing: u32,
    /// Objects on their way, and those that are being deleted.
    pub progressing: u32,
    /// Objects that their users have paused.
    pub suspended: u32,
    /// Objects whose rules can't be evaluated.
    #[serde(skip_serializing_if = "is_zero")]
    pub unknown: u32,
    /// At most ten failing objects, by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub worst: Vec<FailingObject>,
    /// Why they are not all counted, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}

/// An object that does not do its job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FailingObject {
    /// Absent for a cluster-scoped object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub namespace: Option<String>,
    #[schemars(length(max = 253))]
    pub name: String,
    /// Reason of its condition, or what the type of the Integration makes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// Time since which it fails, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub since: Option<String>,
}

impl FailingObject {
    /// `namespace/name`, or the name of a cluster-scoped object.
    pub fn place(&self) -> String {
        place(self.namespace.as_deref().unwrap_or_default(), &self.name)
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// A phase change of the cluster, or of one tool on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct TransitionRecord {
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Name of the Integration; absent if the cluster itself changed, such as when it became unreachable.
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

/// State of one component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComponentStatus {
    #[schemars(schema_with = "word")]
    pub kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object, or of the component if no object was found.
    pub name: String,
    /// `Healthy`, `Progressing` (healthy, with a rollout in progress), `NotReady`, `Absent`, `NotInUse` (optional and
    /// scaled to zero) or `NotSeen` (ksit may not read it).
    pub state: String,
    /// Number of ready Pods or endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Number of desired Pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// Time since which it has not been healthy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
