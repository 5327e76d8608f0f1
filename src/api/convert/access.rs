//! From `spec.access` to the domain.

use std::sync::Arc;

use crate::api::ClusterAccess;
use crate::domain::access::{Identity, IdentityAccess, TargetAccess};
use crate::domain::keys::ObjectKey;

/// Not exactly one identity is given, or the server is missing or given twice.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AccessError;

/// Validates the access of a target in `namespace`.
pub(super) fn target_access(access: &ClusterAccess, namespace: &str) -> Result<TargetAccess, AccessError> {
    let Some(profile) = &access.cluster_profile else {
        return Ok(TargetAccess::Identity(Arc::new(identity_access(access)?)));
    };
    if *access != (ClusterAccess { cluster_profile: Some(profile.clone()), ..ClusterAccess::default() }) {
        return Err(AccessError);
    }
    let namespace = profile.namespace.as_deref().unwrap_or(namespace);
    Ok(TargetAccess::ClusterProfile(ObjectKey::new(namespace, profile.name.as_str())))
}

pub(super) fn identity_access(access: &ClusterAccess) -> Result<IdentityAccess, AccessError> {
    let ClusterAccess {
        server,
        certificate_authority_data,
        tls_server_name,
        proxy_url,
        oidc,
        eks,
        gke,
        aks,
        cluster_profile: _,
    } = access;
    let identity = match (oidc, eks, gke, aks) {
        (Some(oidc), None, None, None) => {
            let audience = oidc.audience.clone().unwrap_or_else(|| server.trim_end_matches('/').to_owned());
            Identity::Oidc { audience }
        }
        (None, Some(eks), None, None) => Identity::Eks {
            cluster: eks.cluster_name.clone(),
            region: eks.region.clone(),
            role_arn: eks.role_arn.clone(),
        },
        (None, None, Some(_), None) => Identity::Gke,
        (None, None, None, Some(aks)) => Identity::Aks { tenant: aks.tenant_id.clone(), client: aks.client_id.clone() },
        _ => return Err(AccessError),
    };
    Ok(IdentityAccess {
        server: server.clone(),
        ca: certificate_authority_data.clone(),
        tls_server_name: tls_server_name.clone(),
        proxy_url: proxy_url.clone(),
        identity,
    })
}
