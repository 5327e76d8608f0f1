//! Least privilege: the operator works with exactly the chart's rights, and uses each of them.

use std::collections::BTreeSet;
use std::time::Duration;

use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use testkit::audit::AuditEvent;

use super::helm::{objects, of_kind};
use crate::kit::{Fleet, eventually, hub, with_validation};

/// Group, resource with subresource, and verb.
pub type Right = (String, String, String);

/// All rights of the chart's roles.
pub fn granted(objects: &[Value]) -> BTreeSet<Right> {
    let texts = |value: &Value| -> Vec<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for role in of_kind(objects, "Role").into_iter().chain(of_kind(objects, "ClusterRole")) {
        for rule in role["rules"].as_array().unwrap() {
            for group in texts(&rule["apiGroups"]) {
                for resource in texts(&rule["resources"]) {
                    for verb in texts(&rule["verbs"]) {
                        assert!(![&group, &resource, &verb].contains(&&"*".to_owned()), "{rule}");
                        rights.insert((group.clone(), resource.clone(), verb));
                    }
                }
            }
        }
    }
    rights
}

fn used(event: &AuditEvent) -> Option<Right> {
    let object = event.object_ref.as_ref()?;
    let resource = match object.subresource.as_str() {
        "" => object.resource.clone(),
        subresource => format!("{}/{subresource}", object.resource),
    };
    Some((object.api_group.clone(), resource, event.verb.clone()))
}

fn user(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:ksit")
}

/// A client and kubeconfig with the installation's ServiceAccount.
async fn as_ksit(namespace: &str) -> (Client, String) {
    let token = hub().await.service_account_token(namespace, "ksit").await.unwrap();
    let kubeconfig = hub().await.kubeconfig_with_token(&token);
    let file = kube::config::Kubeconfig::from_yaml(&kubeconfig).unwrap();
    let config = Config::from_custom_kubeconfig(file, &Default::default()).await.unwrap();
    (Client::try_from(config).unwrap(), kubeconfig)
}

/// Makes the operator do everything it can: elect, assign slots, label, write statuses and Events, remove an old
/// finalizer, fail over and drain.
async fn exercise_all_rights(fleet: &mut Fleet) {
    fleet.settled(&[0, 1]).await;
    fleet.until_all("Running").await;
    // The same Event twice within minutes becomes one with a count.
    for (replicas, phase) in [(0, "Failed"), (1, "Running"), (0, "Failed"), (1, "Running")] {
        fleet.scale_flux(replicas).await;
        fleet.until_all(phase).await;
    }
    let counted = async || fleet.world.events().await.into_iter().find(|event| event.series.is_some());
    eventually("an Event with a count", counted).await;
    let old = fleet.world.api("Integration");
    let finalizer = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
        "metadata": { "name": "old", "finalizers": ["ksit.io/finalizer"] },
        "spec": { "type": "flux", "enabled": false } });
    old.patch("old", &PatchParams::apply("test").force(), &Patch::Apply(finalizer)).await.unwrap();
    eventually("the finalizer to go", async || old.get("old").await.ok()?.finalizers().is_empty().then_some(())).await;
    let types = fleet.world.api("IntegrationType");
    let component = json!({ "kind": "Deployment", "name": "backstage" });
    let a_type = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationType",
        "metadata": { "name": "backstage.example.com" },
        "spec": { "title": "Backstage", "namespace": "backstage", "components": [component] } });
    types.patch("backstage.example.com", &PatchParams::apply("test").force(), &Patch::Apply(a_type)).await.unwrap();
    let accepted = async || {
        let found = types.get("backstage.example.com").await.ok()?;
        (found.data["status"]["conditions"][0]["status"] == "True").then_some(())
    };
    eventually("the type to be accepted", accepted).await;
    let window = json!({ "targetSelector": {}, "schedule": "30 2 * * *", "duration": "1h" });
    fleet.world.apply("MaintenanceWindow", "night", window).await.unwrap();
    let notifier = json!({ "webhook": { "url": "http://127.0.0.1:9/" } });
    fleet.world.apply("Notifier", "events", notifier).await.unwrap();
    for (kind, name) in [("MaintenanceWindow", "night"), ("Notifier", "events")] {
        let api = fleet.world.api(kind);
        let accepted = async || {
            let found = api.get(name).await.ok()?;
            (found.data["status"]["conditions"][0]["status"] == "True").then_some(())
        };
        eventually(&format!("the {kind} to be accepted"), accepted).await;
    }
    // A deleted map is created again.
    let maps: Api<ksit::api::ShardMap> = Api::namespaced(fleet.world.client.clone(), &fleet.world.namespace);
    maps.delete("ksit", &DeleteParams::default()).await.unwrap();
    let map = fleet.settled(&[0, 1]).await;
    let coordinator = Fleet::coordinator(&map);
    let leaving = fleet.replicas.take(coordinator).unwrap();
    leaving.stop(Duration::from_secs(20)).await.unwrap().expect("exits by itself");
    fleet.replicas.start(coordinator).await.unwrap();
    fleet.settled(&[0, 1]).await;
}

#[tokio::test]
async fn operator_needs_all_of_its_rights_and_no_others() {
    let _validation = with_validation().await;
    let namespace = "chart-rights";
    let mark = hub().await.audit().mark();
    let mut fleet = Fleet::new(namespace, 2).await;
    exercise_all_rights(&mut fleet).await;
    assert_shards_settled(namespace, &fleet).await;
    let events = hub().await.audit().since(mark).unwrap();
    let user = user(namespace);
    let ours: Vec<&AuditEvent> = events.iter().filter(|event| event.user.username == user).collect();
    let forbidden: BTreeSet<String> = ours
        .iter()
        .filter(|event| event.code() == 403)
        .map(|event| format!("{} {}", event.verb, event.request_uri))
        .collect();
    assert!(forbidden.is_empty(), "{forbidden:#?}");
    let granted = granted(&objects(namespace, &[]).await);
    let used: BTreeSet<Right> = ours.iter().filter_map(|event| used(event)).collect();
    let unused: Vec<&Right> = granted.difference(&used).collect();
    assert!(unused.is_empty(), "granted, but unused: {unused:#?}");
    let beyond: Vec<&Right> = used.difference(&granted).collect();
    assert!(beyond.is_empty(), "used, but not granted: {beyond:#?}");
    fleet.assert_no_violations().await;
}

/// Runs the command of `helm test` with the rights of its Pod.
async fn assert_shards_settled(namespace: &str, fleet: &Fleet) {
    let (_, kubeconfig) = as_ksit(namespace).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("kubeconfig");
    std::fs::write(&path, kubeconfig).unwrap();
    let mut shards = tokio::process::Command::new(env!("CARGO_BIN_EXE_ksit"));
    shards.args(["shards", "--settled-within=60s", "--output=wide", "--namespace", namespace, "--kubeconfig"]);
    let output = shards.arg(&path).output().await.unwrap();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("ksit-1"), "{text}{error}\n{}", fleet.logs());
}

#[tokio::test]
async fn ksit_may_only_patch_slot_label_and_finalizer() {
    let _validation = with_validation().await;
    let fleet = Fleet::new("chart-patches", 1).await;
    fleet.settled(&[0]).await;
    fleet.until_all("Running").await;
    let (client, _) = as_ksit("chart-patches").await;
    let kind = kube::core::GroupVersionKind::gvk("ksit.io", "v1alpha1", "IntegrationTarget");
    let targets: Api<DynamicObject> =
        Api::namespaced_with(client, "chart-patches", &kube::api::ApiResource::from_gvk(&kind));
    let patch = async |patch: Value| targets.patch("c1", &PatchParams::default(), &Patch::Merge(patch)).await;
    let held = json!({ "metadata": { "finalizers": ["example.com/held", "ksit.io/finalizer"] } });
    fleet.world.api("IntegrationTarget").patch("c1", &PatchParams::default(), &Patch::Merge(held)).await.unwrap();
    // A new policy is not enforced at once.
    eventually("the policy", async || patch(json!({ "spec": { "paused": true } })).await.err()).await;
    for (change, words) in [
        (json!({ "spec": { "paused": true } }), "may not change a spec"),
        (json!({ "metadata": { "labels": { "env": "prod" } } }), "may not change labels other than ksit.io/slot"),
        (json!({ "metadata": { "annotations": { "a": "b" } } }), "may not change annotations or owners"),
        (
            json!({ "metadata": { "finalizers": ["example.com/held", "ksit.io/finalizer", "x.io/y"] } }),
            "may not add finalizers",
        ),
        (json!({ "metadata": { "finalizers": ["ksit.io/finalizer"] } }), "nor remove any but its own"),
    ] {
        let refused = patch(change.clone()).await.expect_err("it must be refused");
        assert!(refused.to_string().contains(words), "{change}: {refused}");
    }
    patch(json!({ "metadata": { "labels": { "ksit.io/slot": "000" } } })).await.unwrap();
    patch(json!({ "metadata": { "finalizers": ["example.com/held"] } })).await.unwrap();
    // The policy does not restrict other users.
    fleet.world.apply("IntegrationTarget", "c2", json!({ "clusterName": "c2", "paused": true })).await.unwrap();
    patch(json!({ "metadata": { "finalizers": null } })).await.expect_err("still held by another");
}

/// The rights on all namespaces equal those on one.
#[tokio::test]
async fn cluster_wide_needs_no_other_rights() {
    let everywhere = granted(&objects("ksit-system", &["clusterWide=true"]).await);
    assert_eq!(everywhere, granted(&objects("ksit-system", &[]).await));
}
