//! A status is written when its meaning changes, and not again while a fault lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use futures::StreamExt;
use futures::future::ready;
use ksit::api::IntegrationTarget;
use kube::ResourceExt;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, watcher};
use serde_json::{Value, json};
use simulator::{Fault, Simulator};
use tokio::time::timeout;

use crate::kit::{World, eventually, without_validation};

const INTERVAL: Duration = Duration::from_secs(2);

/// Twenty rounds of clusters that answer; as many as the back-off leaves of those that don't.
const WATCHED: Duration = INTERVAL.saturating_mul(20);

/// Without a write for this long verdicts have settled. A status that is rewritten endlessly never settles.
const QUIET: Duration = INTERVAL.saturating_mul(5);
const LOOKS: usize = 9;

/// Statuses of each object written within `time`.
async fn writes(world: &World, time: Duration) -> BTreeMap<String, Vec<Value>> {
    let of_kind = |kind: &'static str| {
        let events = watcher(world.api(kind), Config::default()).default_backoff().applied_objects();
        // The watcher recovers from errors, such as an expired version, by itself.
        events.filter_map(move |object| ready(object.ok().map(|object| (kind, object)))).boxed()
    };
    let mut events = futures::stream::select(of_kind("IntegrationTarget"), of_kind("Integration"));
    let mut written_statuses: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let follow = async {
        while let Some((kind, object)) = events.next().await {
            let statuses = written_statuses.entry(format!("{kind} {}", object.name_any())).or_default();
            let status = object.data["status"].clone();
            // A change of labels is not a status write.
            if statuses.last() != Some(&status) {
                statuses.push(status);
            }
        }
    };
    assert!(timeout(time, follow).await.is_err(), "the watches continue");
    // The first one is the status at the start.
    written_statuses.values_mut().for_each(|statuses| drop(statuses.remove(0)));
    written_statuses
}

/// Waits until each target has a verdict, and, for a limited time, until no status is written any more.
async fn settled(world: &World) {
    let is_judged = |target: &IntegrationTarget| {
        let phase = target.status.as_ref().and_then(|status| status.phase.as_deref());
        phase.is_some_and(|phase| phase != "Initializing")
    };
    eventually("a verdict on each target", async || world.targets().await.iter().all(is_judged).then_some(())).await;
    for _ in 0..LOOKS {
        if writes(world, QUIET).await.values().all(Vec::is_empty) {
            return;
        }
    }
}

/// Unusable objects, and targets with a bad credential.
async fn apply_unusable(world: &World, kubeconfig: &str) {
    let until = json!({ "clusterName": "paused-until-nonsense", "pausedUntil": "2030-01-01T00:00:00+99:99" });
    world.apply("IntegrationTarget", "paused-until-nonsense", until).await.unwrap();
    let paused = json!({ "clusterName": "paused", "paused": true });
    world.apply("IntegrationTarget", "paused", paused).await.unwrap();
    world.apply("IntegrationTarget", "no-secret", json!({ "clusterName": "no-secret" })).await.unwrap();
    for (name, text) in [
        ("no-kubeconfig", "what is this".to_owned()),
        ("refused", kubeconfig.replace("https://", "http://")),
        ("other-token", kubeconfig.replace("\"token\":\"", "\"token\":\"x")),
        ("nowhere", kubeconfig.replace("127.1.0.1", "127.77.77.77")),
    ] {
        world.target(name, &text).await;
    }
    world.secret("no-key-kubeconfig", json!({ "other": "x" })).await;
    world.apply("IntegrationTarget", "no-key", json!({ "clusterName": "no-key" })).await.unwrap();
    for (name, spec) in [
        ("no-targets", json!({ "type": "argocd", "targetSelector": { "matchLabels": { "a": "b" } } })),
        ("unknown-target", json!({ "type": "argocd", "targetClusters": ["c0", "not-there"] })),
        ("disabled", json!({ "type": "argocd", "enabled": false, "targetClusters": ["c0"] })),
    ] {
        world.integration(name, spec).await;
    }
    // An older CRD may have accepted these.
    without_validation(async || {
        world.apply("IntegrationTarget", "no-name", json!({ "clusterName": "" })).await.unwrap();
        world.apply("Integration", "no-type", json!({ "type": "heroku", "targetClusters": ["c0"] })).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn status_is_written_once_for_every_fault() {
    let mut world = World::new("status-writes").await;
    let faults = Fault::value_variants();
    let simulator = Simulator::start(u32::try_from(faults.len()).unwrap() + 1).await.unwrap();
    for number in 0..simulator.clusters() {
        world.target(&format!("c{number}"), &simulator.kubeconfig(number)).await;
    }
    world.integration("argocd", json!({ "type": "argocd", "targetSelector": {} })).await;
    apply_unusable(&world, &simulator.kubeconfig(0)).await;
    // Half of the clusters fail from the start, half after they have been read.
    let inject = |wanted: usize| {
        for (number, fault) in (1..).zip(faults).filter(|(number, _)| number % 2 == wanted) {
            simulator.inject(u32::try_from(number).unwrap(), Some(*fault));
        }
    };
    inject(0);
    world.start_operator(&["--interval=2s"]).await;
    world
        .until_target("c0", |target| target.status.as_ref().is_some_and(|s| s.phase.as_deref() == Some("Running")))
        .await;
    inject(1);
    settled(&world).await;
    let written = writes(&world, WATCHED).await;
    let name = |object: &String| {
        let number: Option<usize> = object.rsplit(" c").next().and_then(|number| number.parse().ok());
        let fault = number.and_then(|number| faults.get(number.checked_sub(1)?));
        fault.map_or_else(|| object.clone(), |fault| format!("{object} ({fault:?})"))
    };
    let rewritten: BTreeMap<String, &Vec<Value>> =
        written.iter().filter(|(_, statuses)| statuses.len() > 1).map(|(object, all)| (name(object), all)).collect();
    assert!(rewritten.is_empty(), "{}", serde_json::to_string_pretty(&rewritten).unwrap());
    assert!(written.len() > faults.len() + 10, "all were watched: {:?}", written.keys());
}
