//! The part of a `ClusterProfile` (Cluster Inventory API) that ksit reads. Cluster managers write it; ksit does not
//! install its CRD. <https://multicluster.sigs.k8s.io/concepts/cluster-profile-api/>

use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A cluster of a cluster manager's inventory.
#[derive(CustomResource, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "multicluster.x-k8s.io",
    version = "v1alpha1",
    kind = "ClusterProfile",
    namespaced,
    schema = "disabled",
    status = "ClusterProfileStatus"
)]
pub struct ClusterProfileSpec {}

/// How the cluster is reached.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterProfileStatus {
    /// Each with the name of a credential plugin, and a `cluster` as in kubeconfigs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub access_providers: Vec<Value>,
    /// Their name before version 0.2 of the API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub credential_providers: Vec<Value>,
}
