//! Statuses of several tools on several clusters: health, unreachable clusters, transitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::select;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use ksit::api::{IntegrationResult, IntegrationTarget};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use simulator::{ComponentId, Fault, Health, Kind, Simulator};
use tokio::time::{Instant, timeout_at};

use crate::kit::{World, condition, eventually};

/// Simulated clusters `c0`, `c1`, … with Argo CD and Flux.
async fn world(name: &str, clusters: u32) -> (World, Arc<Simulator>) {
    let mut world = World::new(name).await;
    let simulator = Arc::new(Simulator::start(clusters).await.unwrap());
    for number in 0..clusters {
        world.target(&format!("c{number}"), &simulator.kubeconfig(number)).await;
    }
    for tool in ["argocd", "flux"] {
        world.integration(tool, json!({ "type": tool, "targetSelector": {} })).await;
    }
    world.start_operator(&[]).await;
    for tool in ["argocd", "flux"] {
        world.until_phase(tool, "Running").await;
    }
    (world, simulator)
}

fn deployment_of(simulator: &Simulator, tool: &str) -> ComponentId {
    simulator.components().find(|part| part.tool == tool && part.kind == Kind::Deployment).unwrap().id
}

fn phase_of(target: &IntegrationTarget) -> Option<&str> {
    target.status.as_ref()?.phase.as_deref()
}

fn ready(conditions: &[Condition]) -> &Condition {
    conditions.iter().find(|condition| condition.type_ == "Ready").unwrap()
}

fn tool<'a>(target: &'a IntegrationTarget, name: &str) -> &'a IntegrationResult {
    target.status.as_ref().unwrap().integrations.iter().find(|tool| tool.name == name).unwrap()
}

#[tokio::test]
async fn transition_has_time_log_line_event_and_history_entry() {
    let (mut world, simulator) = world("roll-transitions", 1).await;
    let before = world.until_target("c0", |target| phase_of(target) == Some("Running")).await;
    assert!(before.status.as_ref().unwrap().history.is_empty(), "found healthy: {before:?}");
    assert_eq!(condition(&before, "Ready").unwrap().status, "True");
    tokio::time::sleep(Duration::from_millis(1_100)).await;

    simulator.set(0, deployment_of(&simulator, "argocd"), Health::Broken);
    let broken = world.until_target("c0", |target| phase_of(target) == Some("Failed")).await;
    let status = broken.status.as_ref().unwrap();
    assert_eq!((condition(&broken, "Ready").unwrap().status.as_str(), status.ready), ("False", Some(true)));
    assert_eq!(condition(&broken, "Reachable").unwrap().status, "True");
    assert_ne!(tool(&broken, "argocd").last_transition_time, tool(&before, "argocd").last_transition_time);
    assert_eq!(tool(&broken, "flux").last_transition_time, tool(&before, "flux").last_transition_time);
    assert_eq!(status.last_transition_time, tool(&broken, "argocd").last_transition_time);
    let [entry] = &status.history[..] else { panic!("one entry: {:?}", status.history) };
    let recorded = (entry.integration.as_deref(), entry.from.as_str(), entry.to.as_str(), entry.reason.as_str());
    assert_eq!(recorded, (Some("argocd"), "Running", "Failed", "ComponentNotReady"));

    // Another tool breaks: the cluster's phase stays, but the tool has its own transition.
    simulator.set(0, deployment_of(&simulator, "flux"), Health::Broken);
    world.until_target("c0", |target| tool(target, "flux").phase == "Failed").await;
    let lines = eventually("both to be logged", async || {
        let log = world.log();
        let lines: Vec<String> = log
            .lines()
            .filter(|line| line.contains("phase changed") && line.contains("/c0"))
            .map(str::to_owned)
            .collect();
        (lines.len() == 2).then_some(lines)
    })
    .await;
    for (line, name) in lines.iter().zip(["argocd", "flux"]) {
        for words in
            ["INFO", "target=\"roll-transitions/c0\"", &format!("integration=\"{name}\""), "to=\"Failed\"", "after="]
        {
            assert!(line.contains(words), "{words}: {line}");
        }
    }
    let events = eventually("both Events", async || {
        let events = world.events().await.into_iter();
        let events: Vec<_> = events.filter(|event| event.reason.as_deref() == Some("ComponentNotReady")).collect();
        (events.len() >= 2).then_some(events)
    })
    .await;
    let notes: Vec<_> = events.iter().filter_map(|event| event.note.as_deref()).collect();
    assert!(notes.iter().any(|note| note.starts_with("flux: ")), "{notes:?}");

    // The next coordinator keeps the transition times.
    drop(world.take_operator());
    world.start_operator(&[]).await;
    simulator.set(0, deployment_of(&simulator, "flux"), Health::Healthy);
    let after = world.until_target("c0", |target| tool(target, "flux").phase == "Running").await;
    assert_eq!(tool(&after, "argocd").last_transition_time, tool(&broken, "argocd").last_transition_time);
    assert_eq!(after.status.as_ref().unwrap().last_transition_time, broken.status.unwrap().last_transition_time);
    assert_eq!(after.status.unwrap().history.len(), 3);
}

#[tokio::test]
async fn unreachable_clusters_are_counted_separately() {
    let (world, simulator) = world("roll-unreachable", 4).await;
    for number in [0, 1] {
        simulator.inject(number, Some(Fault::Unauthorized));
    }
    simulator.set(3, deployment_of(&simulator, "argocd"), Health::Broken);
    let all = |integration: &ksit::api::Integration| {
        let targets = integration.status.as_ref().and_then(|status| status.targets).unwrap_or_default();
        (targets.failed, targets.unreachable) == (1, 2)
    };
    let argocd = world.until_integration("argocd", all).await;
    let status = argocd.status.unwrap();
    assert!(status.message.as_ref().unwrap().starts_with("1 of 4 broken: c3: "), "{:?}", status.message);
    let message = &ready(&status.conditions).message;
    assert!(
        message.starts_with("1 of 4 broken: c3: ") && message.ends_with("; 2 unreachable (Unauthorized)"),
        "{message}"
    );
    let listed: Vec<_> = status.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    assert_eq!(listed, ["c3", "c0", "c1", "c2"]);
    let flux = world.until_phase("flux", "Failed").await.status.unwrap();
    assert_eq!(ready(&flux.conditions).reason, "TargetsUnreachable");
    let metrics = world.http_get("/metrics").await;
    for (state, clusters) in [("Failed", 1), ("Unreachable", 2), ("Running", 1)] {
        let series = format!(
            "integration=\"argocd\",namespace=\"roll-unreachable\",phase=\"{state}\",type=\"argocd\"}} {clusters}"
        );
        assert!(metrics.contains(&series), "{series}");
    }
}

#[tokio::test]
async fn integration_is_degraded_within_max_unhealthy() {
    let (world, simulator) = world("roll-allowed", 3).await;
    world.integration("argocd", json!({ "type": "argocd", "targetSelector": {}, "maxUnhealthy": "40%" })).await;
    let argocd = deployment_of(&simulator, "argocd");
    simulator.set(0, argocd, Health::Broken);
    let status = world.until_phase("argocd", "Degraded").await.status.unwrap();
    let ready = ready(&status.conditions);
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("True", "WithinMaxUnhealthy"));
    assert!(ready.message.ends_with("; maxUnhealthy is 40%"), "{}", ready.message);
    assert_eq!(status.healthy.as_deref(), Some("2/3"));
    simulator.set(1, argocd, Health::Broken);
    world.until_phase("argocd", "Failed").await;
    world.integration("argocd", json!({ "type": "argocd", "targetSelector": {}, "maxUnhealthy": 2 })).await;
    world.until_phase("argocd", "Degraded").await;
}

/// Rewrites a status as of version 0.1.0 (2026): without transition times, and with `Ready` meaning reachable.
fn downgrade_to_previous_release(status: &mut Value) {
    let fields = status.as_object_mut().unwrap();
    for new in ["lastTransitionTime", "history"] {
        fields.remove(new);
    }
    for tool in fields.get_mut("integrations").and_then(Value::as_array_mut).into_iter().flatten() {
        tool.as_object_mut().unwrap().remove("lastTransitionTime");
    }
    if let Some(targets) = fields.get_mut("targets").and_then(Value::as_object_mut) {
        let unreachable = targets.remove("unreachable").and_then(|count| count.as_u64()).unwrap_or_default();
        targets.remove("degraded");
        targets["failed"] = json!(targets["failed"].as_u64().unwrap() + unreachable);
    }
    let conditions = fields["conditions"].as_array_mut().unwrap();
    if let Some(reachable) = conditions.iter().find(|condition| condition["type"] == "Reachable").cloned() {
        let ready = conditions.iter_mut().find(|condition| condition["type"] == "Ready").unwrap();
        *ready = json!({ "type": "Ready", "status": reachable["status"], "reason": reachable["reason"],
            "message": reachable["message"], "lastTransitionTime": reachable["lastTransitionTime"] });
    }
}

#[tokio::test]
async fn status_of_previous_release_is_rewritten_once_at_most() {
    let (mut world, simulator) = world("roll-upgrade", 3).await;
    simulator.set(0, deployment_of(&simulator, "argocd"), Health::Broken);
    simulator.inject(1, Some(Fault::Unauthorized));
    world.until_target("c0", |target| phase_of(target) == Some("Failed")).await;
    world.until_reach("c1", "Unauthorized").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(world.take_operator());
    let mut versions = BTreeMap::new();
    for kind in ["IntegrationTarget", "Integration"] {
        let api = world.api(kind);
        for mut object in api.list(&ListParams::default()).await.unwrap() {
            downgrade_to_previous_release(&mut object.data["status"]);
            let stored = api.replace_status(&object.name_any(), &PostParams::default(), &object).await.unwrap();
            assert!(stored.data["status"].get("lastTransitionTime").is_none(), "{}", stored.data);
            versions.insert(kind, stored.resource_version().unwrap());
        }
    }
    world.start_operator(&[]).await;
    let mut writes: BTreeMap<(&str, String), usize> = BTreeMap::new();
    let end = Instant::now() + Duration::from_secs(12);
    let [targets, integrations] = ["IntegrationTarget", "Integration"].map(|kind| world.api(kind));
    let watch = async |api: &Api<DynamicObject>, kind| {
        api.watch(&WatchParams::default(), &versions[kind]).await.unwrap().boxed()
    };
    let mut changes = select(
        watch(&targets, "IntegrationTarget").await.map(|event| ("IntegrationTarget", event)),
        watch(&integrations, "Integration").await.map(|event| ("Integration", event)),
    );
    while let Ok(Some((kind, event))) = timeout_at(end, changes.next()).await {
        if let WatchEvent::Modified(object) = event.unwrap() {
            *writes.entry((kind, object.name_any())).or_default() += 1;
        }
    }
    assert!(writes.values().all(|writes| *writes == 1), "{writes:?}");
    assert_eq!(writes.len(), 5, "every status has a new meaning: {writes:?}");
    let broken = world.until_target("c0", |target| phase_of(target) == Some("Failed")).await;
    assert_eq!(condition(&broken, "Ready").unwrap().status, "False");
    let since = tool(&broken, "argocd").last_transition_time.clone().unwrap();
    let now = jiff::Timestamp::now();
    assert!(
        now.duration_since(since.parse().unwrap()).as_secs() >= 12,
        "the transition is older than the restart: {since}"
    );
}
