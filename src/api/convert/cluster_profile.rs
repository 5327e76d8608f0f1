//! From the access providers of a `ClusterProfile` to `spec.access`.

use serde_json::{Map, Value, json};

use super::access::{AccessError, identity_access};
use crate::api::{ClusterAccess, ClusterProfile};
use crate::domain::access::IdentityAccess;
use crate::domain::object_names::is_object_name;

/// Extension of a cluster that configures its credential plugin.
/// <https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/5339-clusterprofile-plugin-credentials>
const EXTENSION: &str = "client.authentication.k8s.io/exec";

/// Providers that a message names.
const MAX_NAMED: usize = 5;

/// How ksit signs in to the cluster, by the first provider whose identity it has.
///
/// # Errors
/// A sentence for users: there is none, with the names of those that there are.
pub(crate) fn profile_access(profile: &ClusterProfile) -> Result<IdentityAccess, String> {
    let status = profile.status.clone().unwrap_or_default();
    let providers =
        if status.access_providers.is_empty() { status.credential_providers } else { status.access_providers };
    let fields = first_known(&providers)?;
    let access: ClusterAccess =
        serde_json::from_value(fields.into()).map_err(|_| "its access provider has a field of another type")?;
    identity_access(&access).map_err(|AccessError| "its access provider is incomplete".to_owned())
}

/// The first provider that ksit knows, as `spec.access`.
///
/// # Errors
/// As [`profile_access`].
pub(crate) fn first_known(providers: &[Value]) -> Result<Map<String, Value>, String> {
    if let Some(known) = providers.iter().find_map(known) {
        return Ok(known);
    }
    // Anything may stand there.
    let named = providers.iter().filter_map(|provider| provider["name"].as_str()).filter(|name| is_object_name(name));
    let named: Vec<&str> = named.take(MAX_NAMED).collect();
    Err(match named.as_slice() {
        [] => "it has no status.accessProviders".to_owned(),
        named => format!(
            "none of its status.accessProviders is one that ksit knows, which are google, azure, and aws with \
             clusterName; it has {}",
            named.join(", ")
        ),
    })
}

fn known(provider: &Value) -> Option<Map<String, Value>> {
    let cluster = &provider["cluster"];
    let server = cluster["server"].as_str().filter(|server| !server.is_empty())?.trim_end_matches('/');
    let extensions = cluster["extensions"].as_array().into_iter().flatten();
    let config = extensions.filter(|extension| extension["name"] == EXTENSION).map(|named| &named["extension"]).next();
    let identity = match provider["name"].as_str()? {
        "google" | "gke" => ("gke", json!({})),
        "azure" | "aks" => ("aks", json!({})),
        "aws" | "eks" => {
            let text = |key: &str| config.and_then(|config| config[key].as_str());
            ("eks", eks_access(server, text("clusterName")?, text("region"), text("roleARN")).ok()?)
        }
        _ => return None,
    };
    let mut access = Map::from_iter([("server".to_owned(), json!(server)), (identity.0.to_owned(), identity.1)]);
    for (from, to) in [
        ("certificate-authority-data", "certificateAuthorityData"),
        ("tls-server-name", "tlsServerName"),
        ("proxy-url", "proxyURL"),
    ] {
        if let Some(value) = cluster[from].as_str().filter(|value| !value.is_empty()) {
            access.insert(to.to_owned(), json!(value));
        }
    }
    Some(access)
}

/// The value of `spec.access.eks`. Without a `region` it is that of the server's name.
///
/// # Errors
/// The region is unknown.
pub(crate) fn eks_access(
    server: &str,
    cluster: &str,
    region: Option<&str>,
    role_arn: Option<&str>,
) -> Result<Value, &'static str> {
    let region = region.or_else(|| region_of(server));
    let region =
        region.ok_or("its AWS region is not known: the server is not a name like ID.gr7.REGION.eks.amazonaws.com")?;
    let mut eks = json!({ "clusterName": cluster, "region": region });
    if let Some(role_arn) = role_arn.filter(|role| !role.is_empty()) {
        eks["roleARN"] = json!(role_arn);
    }
    Ok(eks)
}

/// The region in a name like `ID.gr7.eu-west-1.eks.amazonaws.com`, or `ID.gr7.eu-west-1.eks-cluster.api.aws`.
fn region_of(server: &str) -> Option<&str> {
    let host = server.strip_prefix("https://")?.split([':', '/']).next()?;
    let labels: Vec<&str> = host.split('.').collect();
    let at = labels.iter().position(|label| matches!(*label, "eks" | "eks-cluster"))?;
    at.checked_sub(1).and_then(|before| labels.get(before)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::access::Identity;

    const EKS: &str = "https://ABC.gr7.eu-west-1.eks.amazonaws.com";

    fn read(status: Value) -> Result<IdentityAccess, String> {
        let profile = json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
            "metadata": {"name": "eu-1"}, "spec": {"displayName": "eu-1", "clusterManager": {"name": "m"}}, "status": status});
        profile_access(&serde_json::from_value(profile).unwrap())
    }

    #[test]
    fn first_known_provider_is_taken() {
        for field in ["accessProviders", "credentialProviders"] {
            let found = read(json!({field: [
                {"name": "secretreader", "cluster": {"server": "https://other"}},
                {"name": "google", "cluster": {"server": "https://eu-1.gke.goog/", "certificate-authority-data": "Y2E="}},
            ]}))
            .unwrap();
            assert_eq!((found.server.as_str(), found.ca.as_deref()), ("https://eu-1.gke.goog", Some("Y2E=")));
            assert_eq!(found.identity, Identity::Gke);
        }
    }

    #[test]
    fn aws_needs_the_name_of_the_cluster() {
        let provider = |extensions: Value| json!({"accessProviders": [{"name": "aws", "cluster": {"server": EKS, "extensions": extensions}}]});
        let found = read(provider(json!([{"name": EXTENSION, "extension": {"clusterName": "prod"}}]))).unwrap();
        let eks = Identity::Eks { cluster: "prod".into(), region: "eu-west-1".into(), role_arn: None };
        assert_eq!(found.identity, eks);
        assert!(read(provider(json!([]))).unwrap_err().ends_with("it has aws"));
    }

    #[test]
    fn unknown_providers_are_refused_by_name() {
        let named = |name: &str| json!({"accessProviders": [{"name": name, "cluster": {"server": "https://c"}}]});
        assert!(read(named("secretreader")).unwrap_err().ends_with("it has secretreader"));
        for odd in [named("\u{1b}[2Jplanted"), json!({}), json!({"accessProviders": [7, null, {"name": []}]})] {
            assert_eq!(read(odd).unwrap_err(), "it has no status.accessProviders");
        }
    }

    #[test]
    fn region_is_read_from_the_servers_name() {
        assert_eq!(region_of(EKS), Some("eu-west-1"));
        assert_eq!(region_of("https://ABC.yl4.us-east-1.eks-cluster.api.aws:443/"), Some("us-east-1"));
        assert_eq!(region_of("https://10.0.0.1:6443"), None);
    }
}
