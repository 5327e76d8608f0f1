//! Signing in to a target with an identity of the operator itself, instead of the credential in a kubeconfig Secret.

use std::sync::Arc;

use super::keys::ObjectKey;

/// Access to a target without a Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetAccess {
    /// As the target says.
    Identity(Arc<IdentityAccess>),
    /// As a ClusterProfile on the hub says.
    ClusterProfile(ObjectKey),
}

/// Where the API server of a target is, and how ksit signs in to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdentityAccess {
    /// URL of the API server.
    pub server: String,
    /// PEM in base64, as in a kubeconfig; `None` for public CAs.
    pub ca: Option<String>,
    /// Name to verify the server's certificate by, if it is not that of the URL.
    pub tls_server_name: Option<String>,
    /// URL of a proxy.
    pub proxy_url: Option<String>,
    /// The maker of the token.
    pub identity: Identity,
}

/// Makes the tokens for one or more targets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// The hub, for the operator's own ServiceAccount. The target trusts the hub as an OpenID Connect issuer.
    Oidc {
        /// Audience of the token.
        audience: String,
    },
    /// AWS, for the IAM role of the operator's Pod.
    Eks {
        /// Name of the EKS cluster.
        cluster: String,
        /// AWS region, such as `eu-west-1`.
        region: String,
        /// Role to assume with the Pod's own.
        role_arn: Option<String>,
    },
    /// Google Cloud, for the service account of the operator's Pod.
    Gke,
    /// Azure, for the workload identity of the operator's Pod.
    Aks {
        /// Tenant ID; `None`: that of the Pod.
        tenant: Option<String>,
        /// Client ID of the identity; `None`: that of the Pod.
        client: Option<String>,
    },
}

impl Identity {
    /// Name for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Oidc { .. } => "oidc",
            Self::Eks { .. } => "eks",
            Self::Gke => "gke",
            Self::Aks { .. } => "aks",
        }
    }
}
