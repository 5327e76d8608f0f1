//! Objects that `ksit target` takes back: a failed `add`, and `remove`. And `pause`, which keeps everything.

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{ClusterRole, Role};
use kube::api::ListParams;

use super::add::Setting;
use super::*;
use crate::faults::{Certificate, Fault, FaultyApiServer, Http};
use crate::kit::eventually;

/// Names of ksit's objects on a cluster, once its Namespace has gone.
async fn left_on(plane: &testkit::ControlPlane) -> Vec<String> {
    let client = plane.client().await.unwrap();
    let namespaces: kube::Api<Namespace> = kube::Api::all(client.clone());
    eventually("namespace ksit to go", async || namespaces.get_opt("ksit").await.unwrap().is_none().then_some(()))
        .await;
    let roles: kube::Api<Role> = kube::Api::all(client.clone());
    let cluster_roles: kube::Api<ClusterRole> = kube::Api::all(client);
    let mut names: Vec<String> =
        roles.list(&ListParams::default()).await.unwrap().items.into_iter().filter_map(|o| o.metadata.name).collect();
    let found = cluster_roles.list(&ListParams::default()).await.unwrap().items;
    names.extend(found.into_iter().filter_map(|object| object.metadata.name));
    names.retain(|name| name.starts_with("ksit"));
    names
}

/// A server with another certificate stands for a gateway that does not know the cluster's tokens.
pub(super) async fn refused_token_is_taken_back(setting: &Setting) {
    let gateway = FaultyApiServer::with(Fault::None, Http::Two, Certificate::UnknownCa).await;
    let server = format!("https://{}", gateway.address());
    let failed = setting.add(&["--context", "Eu/berlin", "--server", &server, "--yes", "-o", "json"]).await;
    assert_eq!(failed.code, 1, "{}", failed.all());
    let (result, message) = failed.result("context Eu/berlin");
    assert!(result == "Failed" && message.contains("is not signed by the CA in the kubeconfig"), "{message}");
    assert!(left_on(&setting.berlin).await.is_empty());
    assert!(setting.targets().list(&ListParams::default()).await.unwrap().items.is_empty());
    assert!(setting.secrets().list(&ListParams::default()).await.unwrap().items.is_empty());
}

pub(super) async fn pause_stops_the_checks_until_resume(setting: &Setting) {
    let run = async |args: &[&str]| {
        let ran =
            ksit_target(&setting.contexts.write(), &[args, &["--context", "hub", "-n", "target-add"]].concat()).await;
        assert_eq!(ran.code, 0, "{}", ran.all());
        ran.stdout
    };
    let paused = run(&["pause", "eu-berlin", "--for", "2h", "--reason", "upgrade to 1.36"]).await;
    assert!(paused.starts_with("eu-berlin paused until 20"), "{paused}");
    setting.world.until_reach("eu-berlin", "Paused").await;
    assert!(run(&["eu-berlin"]).await.contains("upgrade to 1.36"));
    run(&["resume", "eu-berlin"]).await;
    setting.world.until_reach("eu-berlin", "Connected").await;
    assert!(!run(&["eu-berlin"]).await.contains("upgrade to 1.36"));
}

pub(super) async fn remove_deletes_both_sides(setting: &Setting) {
    let remove = async |args: &[&str]| {
        ksit_target(
            &setting.contexts.write(),
            &[&["remove"], args, &["--hub-context", "hub", "-n", "target-add"]].concat(),
        )
        .await
    };
    let unasked = remove(&["eu-berlin"]).await;
    assert!(unasked.code == 2 && unasked.stderr.contains("use --yes"), "{}", unasked.all());
    for line in [
        "hub: IntegrationTarget target-add/eu-berlin",
        "hub: Secret target-add/eu-berlin-kubeconfig",
        "cluster: Namespace ksit",
    ] {
        assert!(unasked.stderr.contains(line), "{line}: {}", unasked.stderr);
    }
    let unknown = remove(&["nowhere", "--yes"]).await;
    assert!(unknown.code == 1 && unknown.stdout.contains("there is no IntegrationTarget nowhere"), "{}", unknown.all());
    let removed = remove(&["eu-berlin", "--yes"]).await;
    assert_eq!(removed.code, 0, "{}", removed.all());
    assert!(left_on(&setting.berlin).await.is_empty());
    assert!(setting.targets().get_opt("eu-berlin").await.unwrap().is_none());
    assert!(setting.secrets().get_opt("eu-berlin-kubeconfig").await.unwrap().is_none());
    // Only on the hub: the account stays.
    let removed = remove(&["paris", "--hub-only", "--yes"]).await;
    assert_eq!(removed.code, 0, "{}", removed.all());
    let namespaces: kube::Api<Namespace> = kube::Api::all(setting.paris.client().await.unwrap());
    assert!(namespaces.get_opt("ksit").await.unwrap().is_some());
}
