//! Signing in to a cluster with an identity of the operator itself, as an IntegrationTarget writes it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a cluster is, and the identity with which ksit signs in to it. Needs `--access-namespaces` of the operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.oidc), has(self.eks), has(self.gke), has(self.aks), has(self.clusterProfile)].filter(x, x).size() == 1")
    .message("give exactly one of oidc, eks, gke, aks and clusterProfile"))]
#[x_kube(validation = Rule::new("has(self.server) != has(self.clusterProfile)")
    .message("server is required, except with clusterProfile, which has it"))]
#[x_kube(validation = Rule::new("!has(self.clusterProfile) || !(has(self.certificateAuthorityData) || has(self.tlsServerName) || has(self.proxyURL))")
    .message("clusterProfile has the CA, the name and the proxy itself"))]
pub struct ClusterAccess {
    /// URL of the API server, such as `https://c1.example.com:6443`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(min = 9, max = 2_048), regex(pattern = r"^https://[^\s@#?]+$"))]
    pub server: String,
    /// CA of the API server, PEM in base64 as in a kubeconfig. Defaults to the public CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32_768))]
    pub certificate_authority_data: Option<String>,
    /// Name to verify the certificate of the API server by. Defaults to the host in `server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub tls_server_name: Option<String>,
    /// Proxy in front of the API server, such as `http://proxy.example.com:3128`. Needs `--allow-proxies` of the
    /// operator, and can't hold a password: use a kubeconfig for that.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "proxyURL")]
    #[schemars(length(min = 1, max = 2_048), regex(pattern = r"^[^\s@]+$"))]
    pub proxy_url: Option<String>,
    /// A token of the operator's own ServiceAccount, issued by the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc: Option<OidcAccess>,
    /// A token for Amazon EKS, made with the IAM role of the operator's Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eks: Option<EksAccess>,
    /// An access token of the Google service account of the operator's Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gke: Option<GkeAccess>,
    /// A token of Microsoft Entra for the workload identity of the operator's Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aks: Option<AksAccess>,
    /// A ClusterProfile of the Cluster Inventory API, which has the server and names one of these clouds. Its changes
    /// are followed. Needs `--cluster-profiles` of the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_profile: Option<ClusterProfileAccess>,
}

/// A ClusterProfile on the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterProfileAccess {
    /// Name of the ClusterProfile.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
    /// Its namespace, which must be among `--access-namespaces` too. Defaults to that of the IntegrationTarget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub namespace: Option<String>,
}

/// The cluster trusts the hub as an OpenID Connect issuer, and the operator's ServiceAccount as a user.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OidcAccess {
    /// Audience of the token. Defaults to `server`, so that a token works nowhere else.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), extend("pattern" = crate::api::common::VISIBLE))]
    pub audience: Option<String>,
}

/// An Amazon EKS cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EksAccess {
    /// Name of the cluster in EKS.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[0-9A-Za-z][A-Za-z0-9_-]*$"))]
    pub cluster_name: String,
    /// AWS region, such as `eu-west-1`.
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-z0-9-]+$"))]
    pub region: String,
    /// Role that the Pod's own role assumes, for clusters of other accounts.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "roleARN")]
    #[schemars(length(min = 20, max = 2_048), regex(pattern = r"^arn:[a-z0-9-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+$"))]
    pub role_arn: Option<String>,
}

/// A Google Kubernetes Engine cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GkeAccess {}

/// An Azure Kubernetes Service cluster with Microsoft Entra authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AksAccess {
    /// Tenant of the identity. Defaults to AZURE_TENANT_ID of the Pod.
    #[serde(skip_serializing_if = "Option::is_none", rename = "tenantID")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-zA-Z.-]+$"))]
    pub tenant_id: Option<String>,
    /// Client of the identity. Defaults to AZURE_CLIENT_ID of the Pod.
    #[serde(skip_serializing_if = "Option::is_none", rename = "clientID")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[0-9a-zA-Z-]+$"))]
    pub client_id: Option<String>,
}
