//! Creation, change and deletion of targets, Secrets and Integrations.

use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use ksit::api::{Integration, IntegrationTarget};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::kit::{World, condition, eventually, install_flux, target, without_validation};

async fn flux_world(name: &str) -> (World, testkit::workloads::Workloads) {
    let mut world = World::new(name).await;
    let workloads = install_flux(name).await;
    world.target("one", &target().await.kubeconfig()).await;
    world
        .integration("flux", json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": name } }))
        .await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Running").await;
    (world, workloads)
}

#[tokio::test]
async fn broken_component_is_named_in_status_and_one_event() {
    let (world, workloads) = flux_world("life-break").await;
    workloads.scale("Deployment", "life-break", "helm-controller", 0).await.unwrap();
    let status = world.until_phase("flux", "Failed").await.status.unwrap();
    assert_eq!(status.healthy.as_deref(), Some("0/1"));
    let named = "one: 3/4 components healthy: Deployment life-break/helm-controller";
    assert!(status.full_message().unwrap().contains(named), "{status:?}");
    let column = status.message.unwrap();
    assert!(column.chars().count() <= 80 && column.ends_with('…'), "{column}");
    assert_eq!((status.clusters[0].name.as_str(), status.clusters[0].phase.as_str()), ("one", "Failed"));
    assert_eq!(status.observed_generation, Some(1));

    let target = world.until_target("one", |t| t.status.as_ref().unwrap().phase.as_deref() == Some("Failed")).await;
    let accounts = target.metadata.managed_fields.unwrap();
    let status_account = accounts.iter().find(|account| account.subresource.as_deref() == Some("status")).unwrap();
    let whole = json!({ "f:status": {} });
    assert_eq!(
        status_account.fields_v1.as_ref().unwrap().0,
        whole,
        "managedFields has no entries for single status fields"
    );
    let target_status = target.status.unwrap();
    assert_eq!(target_status.ready, Some(true), "the cluster itself answers");
    let [helm] = &target_status.integrations[0].components[..] else {
        panic!("healthy components are summarised: {target_status:?}")
    };
    assert_eq!((helm.name.as_str(), helm.state.as_str()), ("helm-controller", "NotReady"));
    assert_eq!((helm.ready, helm.desired), (Some(0), Some(0)));
    let healthy = &target_status.integrations[0].healthy_components;
    assert!(healthy.contains(&"Deployment life-break/source-controller 1/1".to_owned()), "{healthy:?}");
    assert_eq!(healthy.len(), 3);

    // Several rounds later there is still one Event for it.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let broken = |name: &'static str| {
        move |event: &&k8s_openapi::api::events::v1::Event| {
            event.reason.as_deref() == Some(name)
                && event.regarding.as_ref().unwrap().kind.as_deref() == Some("IntegrationTarget")
        }
    };
    let events = world.events().await;
    let reported: Vec<_> = events.iter().filter(broken("ComponentNotReady")).collect();
    assert_eq!(reported.len(), 1, "{events:#?}");
    assert!(reported[0].series.is_none(), "{:?}", reported[0]);
    workloads.scale("Deployment", "life-break", "helm-controller", 1).await.unwrap();
    world.until_phase("flux", "Running").await;
}

#[tokio::test]
async fn idle_fleet_costs_no_status_writes() {
    let (world, _) = flux_world("life-idle").await;
    world.until_target("one", |t| t.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running"))).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let versions = async || {
        let one = world.api("IntegrationTarget").get("one").await.unwrap().metadata.resource_version;
        (one, world.api("Integration").get("flux").await.unwrap().metadata.resource_version)
    };
    let before = versions().await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(versions().await, before);
}

#[tokio::test]
async fn slot_label_is_set_and_repaired() {
    let (world, _) = flux_world("life-slot").await;
    let slot = ksit::domain::slot::Slot::of(&ksit::domain::keys::TargetKey::new("life-slot", "one")).to_string();
    let is_right = |target: &IntegrationTarget| target.labels().get("ksit.io/slot") == Some(&slot);
    world.until_target("one", is_right).await;
    let wrong = Patch::Merge(json!({ "metadata": { "labels": { "ksit.io/slot": "fff" } } }));
    world.api("IntegrationTarget").patch("one", &PatchParams::default(), &wrong).await.unwrap();
    world.until_target("one", is_right).await;
}

/// Statuses on the hub stand until the new process has verdicts of its own.
#[tokio::test]
async fn restart_changes_no_status() {
    let (mut world, _) = flux_world("life-restart").await;
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = format!("https://{}", closed.local_addr().unwrap());
    let plane = target().await;
    world.target("two", &plane.kubeconfig().replace(&plane.url(), &server)).await;
    world.until_reach("two", "Unreachable").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let targets = world.api("IntegrationTarget");
    let versions = async || {
        let list = targets.list(&Default::default()).await.unwrap();
        list.items.into_iter().map(|target| target.metadata.resource_version).collect::<Vec<_>>()
    };
    let before = versions().await;
    drop(world.take_operator());
    world.start_operator(&[]).await;
    eventually("the new process to have a verdict", async || {
        (world.log().matches("a round failed").count() >= 8).then_some(())
    })
    .await;
    assert_eq!(versions().await, before);
}

#[tokio::test]
async fn rotated_credential_is_used_without_a_restart() {
    let (world, _) = flux_world("life-rotate").await;
    let plane = target().await;
    world.secret("one-kubeconfig", json!({ "kubeconfig": plane.kubeconfig_with_token("expired") })).await;
    // A change of the target's spec makes the operator read the Secret, as a 401 would.
    let label = json!({ "spec": { "labels": { "touched": "yes" } } });
    let api = world.api("IntegrationTarget");
    api.patch("one", &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
    let reference = json!({ "spec": { "kubeconfigSecretRef": { "name": "one-kubeconfig", "key": "kubeconfig" } } });
    api.patch("one", &PatchParams::default(), &Patch::Merge(reference)).await.unwrap();
    let target = world.until_reach("one", "Unauthorized").await;
    let message = &condition(&target, "Reachable").unwrap().message;
    assert!(message.contains("put a valid one into the kubeconfig"), "{message}");
    world.secret("one-kubeconfig", json!({ "kubeconfig": plane.kubeconfig() })).await;
    world.until_reach("one", "Connected").await;
    world.until_phase("flux", "Running").await;
}

#[tokio::test]
async fn secret_problems_are_reported() {
    let mut world = World::new("life-secret").await;
    let apply =
        async |name: &str| world.apply("IntegrationTarget", name, json!({ "clusterName": name })).await.unwrap();
    for name in ["missing", "empty", "other-key", "not-yaml", "exec"] {
        apply(name).await;
    }
    world.secret("empty-kubeconfig", json!({ "kubeconfig": "" })).await;
    world.secret("other-key-kubeconfig", json!({ "config": "x" })).await;
    world.secret("not-yaml-kubeconfig", json!({ "kubeconfig": "{{ .Values.kubeconfig }}" })).await;
    let exec = json!({ "current-context": "c", "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
        "clusters": [{ "name": "c", "cluster": { "server": "https://eks.example.com" } }],
        "users": [{ "name": "u", "user": { "exec": { "command": "aws" } } }] });
    world.secret("exec-kubeconfig", json!({ "kubeconfig": exec.to_string() })).await;
    world.start_operator(&[]).await;
    let rows = [
        ("missing", "SecretNotFound", "Secret life-secret/missing-kubeconfig does not exist"),
        ("empty", "SecretInvalid", "key kubeconfig of Secret life-secret/empty-kubeconfig is empty"),
        (
            "other-key",
            "SecretInvalid",
            "has none of the keys kubeconfig, value, value.yaml: put the kubeconfig there, or name its key in \
            kubeconfigSecretRef.key; it has config",
        ),
        ("not-yaml", "KubeconfigInvalid", "kubeconfig"),
        ("exec", "KubeconfigRefused", "ksit target add"),
    ];
    for (name, reason, words) in rows {
        let target = world.until_reach(name, reason).await;
        let message = &condition(&target, "Reachable").unwrap().message;
        assert!(message.contains(words), "{name}: {message}");
    }
    // A valid Secret is enough to recover.
    world.secret("missing-kubeconfig", json!({ "kubeconfig": target().await.kubeconfig() })).await;
    world.until_reach("missing", "Connected").await;
}

#[tokio::test]
async fn deleted_target_gets_no_more_requests() {
    let user = "life-delete";
    let plane = target().await;
    let mut world = World::new("life-delete").await;
    world.target("one", &plane.kubeconfig_of(user, Some("system:masters")).unwrap()).await;
    let config = json!({ "namespace": user });
    world.integration("flux", json!({ "type": "flux", "targetClusters": ["one"], "config": config })).await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Failed").await;
    world.delete::<IntegrationTarget>("one").await;
    let gone = |i: &Integration| i.status.as_ref().unwrap().full_message().unwrap().contains("has clusterName one");
    world.until_integration("flux", gone).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mark = plane.audit().mark();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let requests = plane.audit().since(mark).unwrap().iter().filter(|event| event.user.username == user).count();
    assert_eq!(requests, 0, "requests after the target was deleted");
}

#[tokio::test]
async fn deleted_secret_is_noticed_at_the_next_read() {
    let (world, _) = flux_world("life-unsecret").await;
    world.delete::<Secret>("one-kubeconfig").await;
    let reference = json!({ "spec": { "kubeconfigSecretRef": { "name": "one-kubeconfig", "key": "kubeconfig" } } });
    world.api("IntegrationTarget").patch("one", &PatchParams::default(), &Patch::Merge(reference)).await.unwrap();
    world.until_reach("one", "SecretNotFound").await;
    world.until_phase("flux", "Failed").await;
}

#[tokio::test]
async fn paused_target_and_disabled_integration_are_paused() {
    let (world, _) = flux_world("life-pause").await;
    let patch = async |kind: &str, name: &str, spec: serde_json::Value| {
        let patch = Patch::Merge(json!({ "spec": spec }));
        world.api(kind).patch(name, &PatchParams::default(), &patch).await.unwrap();
    };
    patch("IntegrationTarget", "one", json!({ "paused": true })).await;
    world.until_reach("one", "Paused").await;
    world.until_phase("flux", "Paused").await;
    patch("IntegrationTarget", "one", json!({ "paused": false })).await;
    world.until_phase("flux", "Running").await;
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(4);
    patch("IntegrationTarget", "one", json!({ "pausedUntil": soon.to_string() })).await;
    world.until_phase("flux", "Paused").await;
    world.until_phase("flux", "Running").await;
    patch("Integration", "flux", json!({ "enabled": false })).await;
    world.until_phase("flux", "Paused").await;
}

/// Such an object was written before the CRD had its validation.
#[tokio::test]
async fn invalid_object_is_one_warning_and_ends_no_watch() {
    let (world, _) = flux_world("life-bad").await;
    without_validation(async || {
        world.apply("IntegrationTarget", "unreadable", json!({ "clusterName": 7 })).await.unwrap();
        world.apply("Integration", "unreadable", json!({ "type": "flux", "enabled": "perhaps" })).await.unwrap();
        world.apply("Integration", "unknown", json!({ "type": "heroku", "targetClusters": ["one"] })).await.unwrap();
    })
    .await;
    let status = world.until_phase("unknown", "Failed").await.status.unwrap();
    let message = status.full_message().unwrap();
    assert!(message.contains("\"heroku\" is not known"), "{message}");
    eventually("the metric", async || {
        let metrics = world.http_get("/metrics").await;
        metrics.contains("ksit_invalid_objects{kind=\"Integration\"} 1").then_some(())
    })
    .await;
    eventually("the warning", async || world.log().contains("this object can't be read").then_some(())).await;
    // The watch goes on: later objects are seen.
    world
        .integration(
            "later",
            json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": "life-bad" } }),
        )
        .await;
    world.until_phase("later", "Running").await;
    for kind in ["IntegrationTarget", "Integration"] {
        let line =
            |line: &&str| line.contains("this object can't be read") && line.contains(&format!("kind=\"{kind}\""));
        // One for each of the two roles that watch.
        assert!(world.log().lines().filter(line).count() <= 2, "{}", world.log());
    }
}

#[tokio::test]
async fn endpoints_serve_health_and_sigterm_drains() {
    let (mut world, _) = flux_world("life-end").await;
    assert!(world.http_get("/livez").await.starts_with("HTTP/1.1 200"));
    assert!(world.http_get("/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = world.http_get("/metrics").await;
    for line in [
        "controller_runtime_reconcile_total{controller=\"integrationtarget\",result=\"success\"}",
        "controller_runtime_reconcile_errors_total{controller=\"integrationtarget\"} 0",
        "controller_runtime_reconcile_time_seconds_bucket{controller=\"integration\"",
        "ksit_integration_targets{integration=\"flux\",namespace=\"life-end\",phase=\"Running\",type=\"flux\"} 1",
        "ksit_integration_healthy{integration=\"flux\",namespace=\"life-end\",type=\"flux\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    let status = world.take_operator().stop(Duration::from_secs(30)).await.unwrap();
    assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", world.log());
    assert!(world.log().contains("drained"), "{}", world.log());
}

#[tokio::test]
async fn expiring_credential_is_reported_in_advance() {
    let mut world = World::new("life-expiry").await;
    let plane = target().await;
    let day = Duration::from_secs(86_400);
    let ending = plane.kubeconfig_that_ends("life-expiry", Some("system:masters"), day).unwrap();
    world.target("one", &ending).await;
    world.start_operator(&["--watch-secrets"]).await;
    let target = world.until_target("one", |target| condition(target, "CredentialExpiring").is_some()).await;
    let expiry = condition(&target, "CredentialExpiring").unwrap();
    assert_eq!((expiry.status.as_str(), expiry.reason.as_str()), ("True", "ExpiresSoon"));
    assert!(expiry.message.contains("put a new one into its Secret"), "{}", expiry.message);
    assert_eq!(condition(&target, "Reachable").unwrap().reason, "Connected");
    let expiring = async |count: u32| {
        let shown = world.http_get("/metrics").await;
        shown.contains(&format!("ksit_targets_credential_expiring {count}\n")).then_some(())
    };
    eventually("the metric to count it", async || expiring(1).await).await;

    world.secret("one-kubeconfig", json!({ "kubeconfig": plane.kubeconfig() })).await;
    world.until_target("one", |target| condition(target, "CredentialExpiring").is_none()).await;
    eventually("the metric to drop to 0", async || expiring(0).await).await;
}
