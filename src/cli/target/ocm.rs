//! Imports the clusters of Open Cluster Management, each with the token of a ManagedServiceAccount named `ksit`.
//! <https://open-cluster-management.io/docs/getting-started/integration/managed-serviceaccount/>

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::json;

use super::hub_side::kubeconfig;
use super::import::{Found, SignIn, served};
use crate::cli::CliError;
use crate::cli::hub::Hub;

const GROUP: &str = "cluster.open-cluster-management.io";

/// Name of the ManagedServiceAccount, in the namespace of the cluster, and of the Secret with its token.
const ACCOUNT: &str = "ksit";

pub(super) async fn clusters(hub: &Hub) -> Result<Vec<Found>, CliError> {
    let resource = served(hub, GROUP, "ManagedCluster", "Open Cluster Management").await?;
    let api: Api<DynamicObject> = Api::all_with(hub.client.clone(), &resource);
    let clusters = api.list(&ListParams::default()).await.map_err(|error| hub.fault(&error))?.items;
    if clusters.is_empty() {
        return Err("the hub has no ManagedCluster".into());
    }
    let mut all = Vec::new();
    for cluster in clusters {
        let name = cluster.name_any();
        let config = &cluster.data["spec"]["managedClusterClientConfigs"][0];
        let server = config["url"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
        let sign_in = match server.is_empty() {
            true => Err("spec.managedClusterClientConfigs has no URL".into()),
            false => sign_in(hub, &name, &server, config["caBundle"].as_str()).await,
        };
        all.push(Found {
            from: format!("ManagedCluster {name}"),
            labels: cluster.labels().clone(),
            name,
            server,
            secret: None,
            sign_in,
        });
    }
    Ok(all)
}

async fn sign_in(hub: &Hub, cluster: &str, server: &str, ca: Option<&str>) -> Result<SignIn, CliError> {
    let secrets: Api<Secret> = Api::namespaced(hub.client.clone(), cluster);
    let secret = secrets.get_opt(ACCOUNT).await.map_err(|error| hub.fault(&error))?;
    let Some(data) = secret.and_then(|secret| secret.data) else {
        return Err(format!(
            "create a ManagedServiceAccount {ACCOUNT} in namespace {cluster}, and give it ksit's rights there with a \
             ManifestWork of deploy/target"
        )
        .into());
    };
    let token = data.get("token").and_then(|token| String::from_utf8(token.0.clone()).ok());
    let token = token.ok_or_else(|| format!("Secret {cluster}/{ACCOUNT} has no token"))?;
    let ca = ca.map(str::to_owned).or_else(|| data.get("ca.crt").map(|ca| STANDARD.encode(&ca.0)));
    let mut entry = json!({ "server": server });
    if let Some(ca) = ca.filter(|ca| !ca.is_empty()) {
        entry["certificate-authority-data"] = json!(ca);
    }
    Ok(SignIn::Kubeconfig(kubeconfig(cluster, &entry, &json!({ "token": token }))))
}
