//! Imports `ClusterProfile`s of the Cluster Inventory API, which cluster managers write.
//! <https://multicluster.sigs.k8s.io/concepts/cluster-profile-api/>

use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};

use super::import::{Found, SignIn, served};
use crate::api::convert::first_known;
use crate::cli::CliError;
use crate::cli::hub::Hub;

const GROUP: &str = "multicluster.x-k8s.io";

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
    let usable = first_known(providers.map_or(&[][..], Vec::as_slice));
    let server = usable.as_ref().ok().and_then(|access| access["server"].as_str()).unwrap_or_default().to_owned();
    Found {
        from: format!("ClusterProfile {namespace}/{}", profile.name_any()),
        name: profile.data["spec"]["displayName"].as_str().map_or_else(|| profile.name_any(), str::to_owned),
        server,
        labels: profile.labels().clone(),
        secret: None,
        sign_in: usable
            .map(|access| SignIn::Access(access.into()))
            .map_err(|why| format!("{why}; run ksit target add").into()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
}
