//! `config.watchSecrets`: a created, changed or deleted kubeconfig is noticed at once, for two more rights.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use serde_json::json;

use super::helm::{apply_all, objects};
use super::rights::{Right, granted};
use crate::kit::{World, hub, install_flux, target};

const NAMESPACE: &str = "chart-secret-watch";

fn secrets(verb: &str) -> Right {
    (String::new(), "secrets".to_owned(), verb.to_owned())
}

#[tokio::test]
async fn secrets_may_be_listed_only_if_watched() {
    let usual = granted(&objects("ksit-system", &[]).await);
    for values in [&["config.watchSecrets=true"][..], &["config.watchSecrets=true", "clusterWide=true"]] {
        let watching = granted(&objects("ksit-system", values).await);
        let more: BTreeSet<Right> = watching.difference(&usual).cloned().collect();
        assert_eq!(more, BTreeSet::from([secrets("list"), secrets("watch")]));
        assert!(usual.is_subset(&watching));
    }
}

/// The interval is too long for a round to notice in time.
#[tokio::test]
async fn kubeconfig_changes_are_noticed_at_once() {
    let mut world = World::new(NAMESPACE).await;
    install_flux(NAMESPACE).await;
    let all = objects(NAMESPACE, &["config.watchSecrets=true"]).await;
    let kinds = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];
    apply_all(&world.client, all.iter().filter(|object| kinds.contains(&object["kind"].as_str().unwrap()))).await;
    let token = hub().await.service_account_token(NAMESPACE, "ksit").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, hub().await.kubeconfig_with_token(&token)).unwrap();
    let mark = hub().await.audit().mark();

    world.apply("IntegrationTarget", "one", json!({ "clusterName": "one" })).await.unwrap();
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": NAMESPACE } });
    world.integration("flux", spec).await;
    let flags = [&format!("--kubeconfig={}", path.display()), "--watch-secrets", "--interval=10m"];
    world.start_operator(&flags).await;
    world.until_reach("one", "SecretNotFound").await;
    let started = Instant::now();
    world.secret("one-kubeconfig", json!({ "kubeconfig": target().await.kubeconfig() })).await;
    world.until_phase("flux", "Running").await;
    world.secret("one-kubeconfig", json!({ "kubeconfig": "{}" })).await;
    world.until_reach("one", "KubeconfigInvalid").await;
    world.secret("one-kubeconfig", json!({ "kubeconfig": target().await.kubeconfig() })).await;
    world.until_phase("flux", "Running").await;
    world.delete::<Secret>("one-kubeconfig").await;
    world.until_reach("one", "SecretNotFound").await;
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());

    let user = format!("system:serviceaccount:{NAMESPACE}:ksit");
    let events = hub().await.audit().since(mark).unwrap();
    let ours: Vec<_> = events.iter().filter(|event| event.user.username == user).collect();
    let forbidden: Vec<_> = ours.iter().filter(|event| event.code() == 403).map(|event| &event.request_uri).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");
    let has_secrets = |verb: &str| {
        let object =
            |event: &testkit::audit::AuditEvent| event.object_ref.as_ref().map(|object| object.resource.clone());
        ours.iter().any(|event| event.verb == verb && object(event).as_deref() == Some("secrets"))
    };
    assert!(has_secrets("list") && has_secrets("get"));
}
