//! `deploy/target/`: these rights suffice to read each tool, and every one of them is used.

use std::collections::BTreeSet;

use ksit::api::catalogue;
use kube::ResourceExt;
use serde_json::{Value, json};
use testkit::workloads::Workloads;

use super::helm::{apply_all, documents, root};
use crate::kit::{World, eventually, target};

const READER: &str = "system:serviceaccount:ksit:ksit";

/// Applies a file of `deploy/target/` to the shared cluster, with the tool in a namespace of this test.
async fn apply(file: &str, namespace: Option<(&str, &str)>) -> Vec<Value> {
    let text = std::fs::read_to_string(root().join("deploy/target").join(file)).unwrap();
    let text = match namespace {
        Some((usual, ours)) => text
            .replace(&format!("namespace: {usual}}}"), &format!("namespace: {ours}}}"))
            .replace(&format!("resourceNames: [{usual}]"), &format!("resourceNames: [{ours}]")),
        None => text,
    };
    let objects = documents(&text);
    let workloads = Workloads::new(target().await.client().await.unwrap());
    for object in objects.iter().filter(|object| object["kind"] == "Role") {
        workloads.namespace(object["metadata"]["namespace"].as_str().unwrap()).await.unwrap();
    }
    apply_all(&target().await.client().await.unwrap(), &objects).await;
    objects
}

#[tokio::test]
async fn target_rights_suffice_for_each_tool_and_are_all_used() {
    let mut world = World::new("chart-target").await;
    let workloads = Workloads::new(target().await.client().await.unwrap());
    apply("reader.yaml", None).await;
    let mut granted = BTreeSet::new();
    for tool in catalogue::tools() {
        let namespace = format!("chart-target-{}", tool.name);
        workloads.namespace(&namespace).await.unwrap();
        for object in apply(&format!("{}.yaml", tool.name), Some((&tool.namespace, &namespace))).await {
            // Managed objects are only listed where the cluster serves their kinds, as in `managed::real`.
            let is_managed = |rule: &&Value| rule["verbs"] == json!(["list", "watch"]);
            let rules = object["rules"].as_array().into_iter().flatten();
            for rule in rules.filter(|rule| !is_managed(rule)) {
                for resource in rule["resources"].as_array().unwrap() {
                    let place = object["metadata"]["namespace"].as_str().unwrap_or_default();
                    granted.insert((place.to_owned(), resource.as_str().unwrap().to_owned()));
                }
            }
        }
        let spec = json!({ "type": tool.name, "targetClusters": ["reader"], "config": { "namespace": namespace } });
        world.integration(&tool.name, spec).await;
    }
    let mark = target().await.audit().mark();
    let token = target().await.service_account_token("ksit", "ksit").await.unwrap();
    world.target("reader", &target().await.kubeconfig_with_token(&token)).await;
    world.start_operator(&[]).await;
    for tool in catalogue::tools() {
        let failed = world.until_phase(&tool.name, "Failed").await;
        let message = failed.status.as_ref().unwrap().full_message().unwrap_or_default().to_owned();
        assert!(!message.contains("may not"), "{}: {message}", failed.name_any());
    }
    drop(world.take_operator());
    eventually("every right to be used", async || {
        let events = target().await.audit().since(mark).unwrap();
        let ours = events.iter().filter(|event| event.user.username == READER);
        let mut left = granted.clone();
        for event in ours {
            assert_ne!(event.code(), 403, "{} {}", event.verb, event.request_uri);
            if let Some(object) = &event.object_ref {
                left.remove(&(object.namespace.clone(), object.resource.clone()));
            }
        }
        left.is_empty().then_some(())
    })
    .await;
}
