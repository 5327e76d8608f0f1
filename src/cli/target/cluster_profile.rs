//! Imports `ClusterProfile`s of the Cluster Inventory API, which cluster managers write.
//! <https://multicluster.sigs.k8s.io/concepts/cluster-profile-api/>

use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Map, Value, json};

use super::identities::eks;
use super::import::{Found, SignIn, served};
use crate::cli::CliError;
use crate::cli::hub::Hub;

const GROUP: &str = "multicluster.x-k8s.io";

/// Extension of a cluster that configures its credential plugin.
/// <https://github.com/kubernetes/enhancements/tree/master/keps/sig-multicluster/5339-clusterprofile-plugin-credentials>
const EXTENSION: &str = "client.authentication.k8s.io/exec";

pub(super) async fn clusters(hub: &Hub) -> Result<Vec<Found>, CliError> {
    let resource = served(hub, GROUP, "ClusterProfile", "the Cluster Inventory API").await?;
    let api: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), &hub.namespace, &resource);
    let profiles = api.list(&ListParams::default()).await.map_err(|error| hub.fault(&error))?.items;
    if profiles.is_empty() {
        return Err(format!("no ClusterProfile in namespace {}: set their namespace with -n", hub.namespace).into());
    }
    Ok(profiles.iter().map(|profile| found(profile, &hub.namespace)).collect())
}

fn found(profile: &DynamicObject, namespace: &str) -> Found {
    let status = &profile.data["status"];
    // Before version 0.2 of the API they had another name.
    let providers = ["accessProviders", "credentialProviders"].iter().find_map(|field| status[*field].as_array());
    let usable = providers.into_iter().flatten().find_map(access);
    let server = usable.as_ref().and_then(|access| access["server"].as_str()).unwrap_or_default().to_owned();
    Found {
        from: format!("ClusterProfile {namespace}/{}", profile.name_any()),
        name: profile.data["spec"]["displayName"].as_str().map_or_else(|| profile.name_any(), str::to_owned),
        server,
        labels: profile.labels().clone(),
        secret: None,
        sign_in: usable.map(|access| SignIn::Access(access.into())).ok_or_else(|| {
            "none of status.accessProviders is one that ksit knows: google, azure, or aws with clusterName; run ksit \
             target add"
                .into()
        }),
    }
}

/// The provider as `spec.access`, if ksit has its identity.
fn access(provider: &Value) -> Option<Map<String, Value>> {
    let cluster = &provider["cluster"];
    let server = cluster["server"].as_str().filter(|server| !server.is_empty())?.trim_end_matches('/');
    let extensions = cluster["extensions"].as_array().into_iter().flatten();
    let config = extensions.filter(|extension| extension["name"] == EXTENSION).map(|named| &named["extension"]).next();
    let identity = match provider["name"].as_str()? {
        "google" | "gke" => json!({ "gke": {} }).as_object().cloned()?,
        "azure" | "aks" => json!({ "aks": {} }).as_object().cloned()?,
        "aws" | "eks" => {
            let text = |key: &str| config.and_then(|config| config[key].as_str());
            eks(server, text("clusterName")?, text("region"), text("roleARN")).ok()?
        }
        _ => return None,
    };
    let mut access = Map::from_iter([("server".to_owned(), json!(server))]);
    for (from, to) in [
        ("certificate-authority-data", "certificateAuthorityData"),
        ("tls-server-name", "tlsServerName"),
        ("proxy-url", "proxyURL"),
    ] {
        if let Some(value) = cluster[from].as_str().filter(|value| !value.is_empty()) {
            access.insert(to.to_owned(), json!(value));
        }
    }
    access.extend(identity);
    Some(access)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(providers: Value) -> Found {
        let profile = json!({"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile",
            "metadata": {"name": "eu-1", "namespace": "fleet", "labels": {"env": "prod"}},
            "spec": {"displayName": "eu-1"}, "status": {"accessProviders": providers}});
        found(&serde_json::from_value(profile).unwrap(), "fleet")
    }

    #[test]
    fn known_access_provider_becomes_access() {
        let found = profile(json!([
            {"name": "secretreader", "cluster": {"server": "https://other"}},
            {"name": "google", "cluster": {"server": "https://eu-1.gke.goog", "certificate-authority-data": "Y2E="}},
        ]));
        let SignIn::Access(access) = found.sign_in.unwrap() else { panic!() };
        assert_eq!(access, json!({"server": "https://eu-1.gke.goog", "certificateAuthorityData": "Y2E=", "gke": {}}));
        assert_eq!((found.server.as_str(), found.labels["env"].as_str()), ("https://eu-1.gke.goog", "prod"));
    }

    #[test]
    fn aws_needs_the_name_of_the_cluster() {
        let server = "https://ABC.gr7.eu-west-1.eks.amazonaws.com";
        let provider =
            |extensions: Value| json!([{"name": "aws", "cluster": {"server": server, "extensions": extensions}}]);
        let named = json!([{"name": EXTENSION, "extension": {"clusterName": "prod"}}]);
        let SignIn::Access(access) = profile(provider(named)).sign_in.unwrap() else { panic!() };
        assert_eq!(access["eks"], json!({"clusterName": "prod", "region": "eu-west-1"}));
        let message = profile(provider(json!([]))).sign_in.unwrap_err().to_string();
        assert!(message.contains("status.accessProviders"), "{message}");
    }
}
