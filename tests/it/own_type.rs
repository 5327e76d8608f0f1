//! A user's own type of integration, on real API servers.

use std::collections::BTreeMap;

use ksit::api::{Integration, IntegrationType};
use serde_json::{Value, json};
use testkit::workloads::Workloads;
use tokio::process::Command;

use crate::kit::{World, eventually, target, with_validation};

const TYPE: &str = "backstage.example.com";

fn component(name: &str) -> Value {
    json!({ "kind": "Deployment", "name": name })
}

fn spec(components: &[Value]) -> Value {
    json!({ "title": "Backstage", "namespace": "own-type", "components": components })
}

/// Waits until the Integration or one of its clusters has this reason.
async fn until_reason(world: &World, reason: &str) -> Integration {
    let is_reason = |integration: &Integration| {
        let status = integration.status.as_ref();
        status.is_some_and(|status| {
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
            ready.is_some_and(|ready| ready.reason == reason)
                || status.clusters.iter().any(|cluster| cluster.reason == reason)
        })
    };
    world.until_integration("portal", is_reason).await
}

fn message(integration: &Integration) -> &str {
    integration.status.as_ref().and_then(|status| status.full_message()).unwrap_or_default()
}

#[tokio::test]
async fn users_type_is_followed_from_its_creation_to_its_deletion() {
    let _validation = with_validation().await;
    let workloads = Workloads::new(target().await.client().await.unwrap());
    workloads.namespace("own-type").await.unwrap();
    workloads.workload("Deployment", "own-type", "backstage", &BTreeMap::new(), 2).await.unwrap();
    let mut world = World::new("own-type").await;
    world.target("a", &target().await.kubeconfig()).await;
    world.start_operator(&[]).await;
    world.integration("portal", json!({ "type": TYPE, "targetClusters": ["a"] })).await;
    let unknown = until_reason(&world, "UnknownType").await;
    assert!(message(&unknown).contains("there is no IntegrationType \"backstage.example.com\""), "{unknown:?}");

    world.apply("IntegrationType", TYPE, spec(&[component("backstage")])).await.unwrap();
    let running = world.until_phase("portal", "Running").await;
    let versions = running.status.unwrap().versions;
    assert_eq!(versions.iter().map(|seen| (seen.version.as_str(), seen.clusters)).collect::<Vec<_>>(), [("3.10", 1)]);
    let accepted = async || {
        let found = world.api("IntegrationType").get(TYPE).await.ok()?;
        (found.data["status"]["conditions"][0]["reason"] == "Accepted").then_some(())
    };
    eventually("the type to be accepted", accepted).await;

    workloads.scale("Deployment", "own-type", "backstage", 0).await.unwrap();
    let broken = until_reason(&world, "ComponentNotReady").await;
    assert!(message(&broken).contains("Deployment own-type/backstage is scaled to 0"), "{}", message(&broken));
    workloads.scale("Deployment", "own-type", "backstage", 2).await.unwrap();
    world.until_phase("portal", "Running").await;

    // A changed type holds for the Integrations that have it.
    world.apply("IntegrationType", TYPE, spec(&[component("backstage"), component("backstage-db")])).await.unwrap();
    let absent = until_reason(&world, "ComponentAbsent").await;
    assert!(message(&absent).contains("set config.ignore to backstage-db"), "{}", message(&absent));

    world.apply("IntegrationType", TYPE, spec(&[component("Backstage")])).await.unwrap();
    let invalid = until_reason(&world, "InvalidType").await;
    assert!(message(&invalid).contains("spec.components[0].name: \"Backstage\" must be"), "{}", message(&invalid));
    let refused = async || {
        let found = world.api("IntegrationType").get(TYPE).await.ok()?;
        let condition = &found.data["status"]["conditions"][0];
        (condition["status"] == "False").then(|| condition["message"].as_str().unwrap_or_default().to_owned())
    };
    let refused = eventually("the type to be refused", refused).await;
    assert!(refused.starts_with("spec.components[0].name: \"Backstage\" must be"), "{refused}");

    world.delete::<IntegrationType>(TYPE).await;
    until_reason(&world, "UnknownType").await;
}

#[tokio::test]
async fn unwanted_version_degrades_the_cluster() {
    let _validation = with_validation().await;
    let workloads = Workloads::new(target().await.client().await.unwrap());
    workloads.namespace("own-versions").await.unwrap();
    let labels = BTreeMap::from([("app.kubernetes.io/version".to_owned(), "v2.10.4".to_owned())]);
    workloads.workload("Deployment", "own-versions", "backstage", &labels, 1).await.unwrap();
    let mut world = World::new("own-versions").await;
    world.target("a", &target().await.kubeconfig()).await;
    let of_version =
        |version: &str| json!({ "title": "Backstage", "namespace": version, "components": [component("backstage")] });
    world.apply("IntegrationType", TYPE, of_version("own-versions")).await.unwrap();
    world.start_operator(&[]).await;
    world.integration("portal", json!({ "type": TYPE, "targetClusters": ["a"], "versions": ">=2.11.0 <3" })).await;
    let degraded = world.until_phase("portal", "Degraded").await;
    assert!(message(&degraded).contains("version 2.10.4 is not in >=2.11.0 <3"), "{}", message(&degraded));
    let labels = BTreeMap::from([("app.kubernetes.io/version".to_owned(), "v2.11.0".to_owned())]);
    workloads.workload("Deployment", "own-versions", "backstage", &labels, 1).await.unwrap();
    let running = world.until_phase("portal", "Running").await;
    assert_eq!(running.status.unwrap().versions[0].version, "2.11.0");
    let metrics = world.http_get("/metrics").await;
    let series = r#"ksit_integration_version_clusters{integration="portal",namespace="own-versions",type="backstage.example.com",version="2.11.0"} 1"#;
    assert!(metrics.contains(series) && !metrics.contains("2.10.4"), "{metrics}");
}

#[tokio::test]
async fn invalid_types_are_refused_at_apply() {
    let _validation = with_validation().await;
    let world = World::new("own-refused").await;
    let good = spec(&[component("a")]);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed
    };
    let rows = [
        ("backstage", good.clone(), "the name of a type needs a dot"),
        (TYPE, with(&|spec| spec["components"] = json!([])), "spec.components"),
        (TYPE, with(&|spec| spec["components"][0]["kind"] = json!("Widget")), "needs its apiVersion"),
        (TYPE, with(&|spec| spec["components"][0]["kind"] = json!("widget")), "spec.components[0].kind"),
        (TYPE, with(&|spec| spec["components"][0]["minReady"] = json!("0%")), "spec.components[0].minReady"),
        (TYPE, with(&|spec| spec["components"][0]["minReady"] = json!(0)), "spec.components[0].minReady"),
        (TYPE, with(&|spec| spec["components"][0]["orKinds"] = json!(["Pod"])), "spec.components[0].orKinds[0]"),
        (
            TYPE,
            with(&|spec| {
                spec["components"][0] = json!({ "kind": "APIService", "name": "a", "labels": [{ "a": "b" }] });
            }),
            "is found by labels",
        ),
        (TYPE, with(&|spec| spec["components"] = json!(vec![component("a"); 101])), "spec.components"),
        (TYPE, with(&|spec| spec["profiles"] = json!([{ "name": "p" }])), "spec.profiles[0].without"),
    ];
    for (name, spec, words) in rows {
        match world.apply("IntegrationType", name, spec.clone()).await {
            Err(kube::Error::Api(status)) => assert!(status.message.contains(words), "{spec}: {}", status.message),
            other => panic!("accepted, but should have been refused: {other:?}"),
        }
    }
    world.apply("IntegrationType", TYPE, good).await.unwrap();
}

#[tokio::test]
async fn types_command_shows_and_tests_types() {
    let ksit = async |args: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_ksit")).args(args).output().await.unwrap();
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code().unwrap(), text)
    };
    let (code, shown) = ksit(&["types", "show", "argocd"]).await;
    assert!(code == 0 && shown.contains("kind: IntegrationType\nmetadata: {name: argocd}"), "{shown}");
    let workloads = Workloads::new(target().await.client().await.unwrap());
    workloads.namespace("own-test").await.unwrap();
    workloads.workload("Deployment", "own-test", "backstage", &BTreeMap::new(), 1).await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("kubeconfig"), target().await.kubeconfig()).unwrap();
    let manifest = |name: &str, component: &str| {
        json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationType", "metadata": { "name": name },
            "spec": { "title": "Backstage", "namespace": "own-test", "components": [self::component(component)] } })
        .to_string()
    };
    for (name, component, code, words) in [
        (TYPE, "backstage", 0, "1/1 components healthy"),
        (TYPE, "absent", 1, "Deployment own-test/absent is absent"),
        (TYPE, "UPPER", 2, "spec.components[0].name: \"UPPER\" must be"),
        ("backstage", "backstage", 2, "metadata.name: \"backstage\" needs a dot"),
    ] {
        std::fs::write(path("type.yaml"), manifest(name, component)).unwrap();
        let tested = ksit(&["types", "test", &path("type.yaml"), "--kubeconfig", &path("kubeconfig")]).await;
        assert!(tested.0 == code && tested.1.contains(words), "{name} {component}: {tested:?}");
    }
}
