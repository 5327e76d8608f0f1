//! `ShardMap`: the one object that says which replica owns which slot.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which replica owns which slot. Written whole, by the coordinator alone.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "ksit.io",
    version = "v1alpha1",
    kind = "ShardMap",
    namespaced,
    status = "ShardMapStatus",
    category = "ksit",
    doc = "Which replica of ksit looks after which clusters. Written by ksit; see `ksit shards`.",
    printcolumn = r#"{"name":"Coordinator","type":"string","jsonPath":".spec.coordinator.name"}"#,
    printcolumn = r#"{"name":"Term","type":"integer","jsonPath":".spec.term"}"#,
    printcolumn = r#"{"name":"Epoch","type":"integer","jsonPath":".spec.epoch"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.term >= oldSelf.term")
    .message("term never falls: this write is a former coordinator's"))]
#[x_kube(validation = Rule::new("self.term - oldSelf.term <= 1000000").message("term grows by at most 1000000 at once"))]
#[x_kube(validation = Rule::new("self == oldSelf || self.epoch > oldSelf.epoch")
    .message("epoch grows with every change of the map"))]
#[x_kube(validation = Rule::new("self.coordinator.podUid == oldSelf.coordinator.podUid && \
    self.coordinator.nonce == oldSelf.coordinator.nonce || self.term > oldSelf.term")
    .message("a term has one claimant: another coordinator needs a higher term"))]
pub struct ShardMapSpec {
    /// Number of the coordinator's reign.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991i64))]
    pub term: i64,
    /// Version of the map.
    #[schemars(range(min = 1, max = 9_007_199_254_740_991i64))]
    pub epoch: i64,
    /// Who claimed the term, and how workers reach it.
    pub coordinator: Coordinator,
    /// Every replica that takes part, also those without a slot.
    #[serde(default)]
    #[schemars(length(max = 1_000))]
    pub members: Vec<Member>,
}

/// The claimant of a term.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Coordinator {
    /// Name of its Pod.
    pub name: String,
    pub pod_uid: String,
    /// Tells two processes of one Pod apart.
    pub nonce: String,
    /// Host and port of its report service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// SHA-256 of the certificate of the report service, as hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// One replica and its slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Name of its Pod.
    pub name: String,
    pub pod_uid: String,
    /// Tells two processes of one Pod apart.
    pub nonce: String,
    /// Its slots as three hex digits and ranges of them: `000-01f,3a0`.
    #[serde(default)]
    pub slots: String,
}

/// How fresh the fleet is, written once a round.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ShardMapStatus {
    /// When this was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    pub observed_at: Option<String>,
    /// The time between two such writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_seconds: Option<u32>,
    /// Namespaces whose objects the replicas observe; empty: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched_namespaces: Option<Vec<String>>,
    pub replicas: Vec<ReplicaLoad>,
}

/// The load of one replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ReplicaLoad {
    pub name: String,
    pub targets: u32,
    /// Age of its oldest observation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest_observation_seconds: Option<u32>,
}
