//! Imports the `Cluster`s of Cluster API, each with a Secret that holds its kubeconfig.
//! <https://cluster-api.sigs.k8s.io/developer/providers/contracts/control-plane#cluster-kubeconfig-management>

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use secrecy::SecretString;

use super::import::{Found, SignIn, served};
use crate::cli::CliError;
use crate::cli::hub::Hub;

const GROUP: &str = "cluster.x-k8s.io";

/// Key of the Secret.
const KEY: &str = "value";

/// All Clusters in the selected namespace: ksit reads a kubeconfig only from its IntegrationTarget's namespace.
pub(super) async fn clusters(hub: &Hub) -> Result<Vec<Found>, CliError> {
    let resource = served(hub, GROUP, "Cluster", "Cluster API").await?;
    let fault = |error: kube::Error| hub.fault(&error);
    let api: Api<DynamicObject> = Api::namespaced_with(hub.client.clone(), &hub.namespace, &resource);
    let secrets: Api<Secret> = Api::namespaced(hub.client.clone(), &hub.namespace);
    let mut all = Vec::new();
    let clusters = api.list(&ListParams::default()).await.map_err(fault)?.items;
    if clusters.is_empty() {
        return Err(format!("no Cluster in namespace {}: set their namespace with -n", hub.namespace).into());
    }
    for cluster in clusters {
        let secret = format!("{}-kubeconfig", cluster.name_any());
        let endpoint = &cluster.data["spec"]["controlPlaneEndpoint"];
        let server = match (endpoint["host"].as_str(), endpoint["port"].as_u64()) {
            (Some(host), Some(port)) => format!("https://{host}:{port}"),
            _ => String::new(),
        };
        let kubeconfig = match secrets.get_opt(&secret).await.map_err(fault)? {
            _ if cluster.metadata.deletion_timestamp.is_some() => Err("it is being deleted".into()),
            Some(found) => value(&found),
            None => Err(format!("Secret {secret} does not exist yet: import again once the cluster is up").into()),
        };
        all.push(Found {
            from: format!("Cluster {}/{}", hub.namespace, cluster.name_any()),
            name: cluster.name_any(),
            server,
            labels: cluster.labels().clone(),
            secret: Some((secret, KEY.to_owned())),
            sign_in: kubeconfig.map(SignIn::Kubeconfig),
        });
    }
    Ok(all)
}

fn value(secret: &Secret) -> Result<SecretString, CliError> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(KEY));
    let bytes = bytes.ok_or_else(|| format!("Secret {} has no key {KEY}", secret.name_any()))?;
    Ok(String::from_utf8(bytes.0.clone()).map_err(|_| "its kubeconfig is not UTF-8 text")?.into())
}
