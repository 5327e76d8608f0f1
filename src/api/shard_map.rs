//! Defines `ShardMap`: the assignment of slots to replicas.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Assignment of slots to replicas. Only the coordinator writes it, always as a whole.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "ShardMap",
    namespaced,
    status = "ShardMapStatus",
    category = "ksit",
    doc = "Assignment of clusters to replicas of ksit. Written by ksit; see `ksit shards`.",
    printcolumn = r#"{"name":"Coordinator","type":"string","jsonPath":".spec.coordinator.name"}"#,
    printcolumn = r#"{"name":"Term","type":"integer","jsonPath":".spec.term"}"#,
    printcolumn = r#"{"name":"Epoch","type":"integer","jsonPath":".spec.epoch"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.term >= oldSelf.term")
    .message("term must not decrease: this write is from a former coordinator"))]
#[x_kube(validation = Rule::new("self.term - oldSelf.term <= 1000000").message("term may increase by at most 1000000 at once"))]
#[x_kube(validation = Rule::new("self == oldSelf || self.epoch > oldSelf.epoch")
    .message("epoch must increase with every change of the map"))]
#[x_kube(validation = Rule::new("self.coordinator.podUid == oldSelf.coordinator.podUid && \
    self.coordinator.nonce == oldSelf.coordinator.nonce || self.term > oldSelf.term")
    .message("a term has one claimant: another coordinator needs a higher term"))]
pub struct ShardMapSpec {
    /// Term of the coordinator.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991i64))]
    pub term: i64,
    /// Version of the map; increases with every change.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991i64))]
    pub epoch: i64,
    /// Process that claimed the term, and its address for workers.
    pub coordinator: Coordinator,
    /// All member replicas, including those without a slot.
    #[serde(default)]
    #[schemars(length(max = 1_000))]
    pub members: Vec<Member>,
}

/// The process that claimed a term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coordinator {
    /// Name of the Pod.
    pub name: String,
    pub pod_uid: String,
    /// Distinguishes two processes of one Pod.
    pub nonce: String,
    /// Host and port of the report service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// SHA-256 fingerprint of the report service's certificate, as hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// A replica and its slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of the Pod.
    pub name: String,
    pub pod_uid: String,
    /// Distinguishes two processes of one Pod.
    pub nonce: String,
    /// Slots of three hex digits, and ranges of them, such as `000-01f,3a0`.
    #[serde(default)]
    pub slots: String,
}

/// Freshness of the fleet, written once per round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardMapStatus {
    /// Time of this write.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: Option<String>,
    /// Time between two writes, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_seconds: Option<u32>,
    /// Namespaces that the replicas watch; empty for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_namespaces: Option<Vec<String>>,
    pub replicas: Vec<ReplicaLoad>,
}

/// Load of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaLoad {
    pub name: String,
    pub targets: u32,
    /// Age of the oldest observation among its clusters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_observation_seconds: Option<u32>,
}
