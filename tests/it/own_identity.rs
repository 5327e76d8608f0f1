//! `spec.access.oidc`: a target that trusts the hub's issuer is read without any Secret.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use testkit::ControlPlane;
use testkit::audit::AuditEvent;
use testkit::workloads::Workloads;

use crate::kit::{World, condition, hub, install_flux_with};

const NAMESPACE: &str = "own-identity";

/// Binds a ClusterRole to a subject.
pub async fn bind(plane: &ControlPlane, name: &str, role: &str, subject: Value) {
    let api: Api<ClusterRoleBinding> = Api::all(plane.client().await.unwrap());
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": name }, "subjects": [subject],
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role } });
    api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(binding)).await.unwrap();
}

fn user(kind: &str, name: &str) -> Value {
    json!({ "kind": kind, "name": name, "apiGroup": "rbac.authorization.k8s.io" })
}

/// Requests of the hub's ServiceAccount on the target.
fn requests(target: &ControlPlane) -> Vec<AuditEvent> {
    let all = target.audit().since(0).unwrap();
    all.into_iter().filter(|event| event.user.username.starts_with("hub:")).collect()
}

/// The IDs of the tokens that requests came with, which API servers note since Kubernetes 1.32.
fn tokens(requests: &[AuditEvent]) -> BTreeSet<String> {
    let ids = requests.iter().filter_map(|event| event.user.extra.get("authentication.kubernetes.io/credential-id"));
    ids.flatten().cloned().collect()
}

#[tokio::test]
async fn target_is_read_with_a_token_of_the_hub_and_no_secret() {
    let (hub, mut world) = (hub().await, World::new(NAMESPACE).await);
    bind(hub, "issuer-discovery", "system:service-account-issuer-discovery", user("Group", "system:unauthenticated"))
        .await;
    let token = hub.service_account_token(NAMESPACE, "ksit").await.unwrap();
    let account = json!({ "kind": "ServiceAccount", "name": "ksit", "namespace": NAMESPACE });
    bind(hub, "own-identity", "cluster-admin", account).await;
    let target = ControlPlane::builder("trusting").trusting(hub).start().await.unwrap();
    bind(&target, "ksit", "cluster-admin", user("User", &format!("hub:system:serviceaccount:{NAMESPACE}:ksit"))).await;
    let tools = Workloads::new(target.client().await.unwrap());
    install_flux_with(&tools, "flux-system").await;

    let kubeconfig = target.dir().join("operator");
    std::fs::write(&kubeconfig, hub.kubeconfig_with_token(&token)).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    world.start_operator(&[&kubeconfig, "--oidc-token-lifetime=10m"]).await;
    world.integration("flux", json!({ "type": "flux", "targetClusters": ["trusting"] })).await;
    let ca = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, target.ca_pem());
    let access = json!({ "server": target.url(), "certificateAuthorityData": ca, "oidc": {} });
    world.apply("IntegrationTarget", "trusting", json!({ "clusterName": "trusting", "access": access })).await.unwrap();

    let refused = world.until_reach("trusting", "AccessRefused").await;
    assert!(condition(&refused, "Reachable").unwrap().message.contains("--access-namespaces"));
    assert!(requests(&target).is_empty(), "no token was sent");

    world.take_operator().stop(Duration::from_secs(30)).await.unwrap();
    let allowed = format!("--access-namespaces={NAMESPACE}");
    world.start_operator(&[&kubeconfig, "--oidc-token-lifetime=10m", &allowed]).await;
    world
        .until_target("trusting", |target| {
            target.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))
        })
        .await;
    assert_eq!(tokens(&requests(&target)).len(), 1, "one token for all requests");

    // The token is seen nowhere, and no Secret holds one.
    let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(world.client.clone(), NAMESPACE);
    assert!(secrets.list(&ListParams::default()).await.unwrap().items.is_empty());
    assert!(!world.everything_shown().await.contains("eyJ"), "a JWT begins so");
}
