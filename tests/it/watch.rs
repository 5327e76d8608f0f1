//! Changes on a watched target show at once, not at the next round.

use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use ksit::api::IntegrationTarget;
use kube::Api;
use serde_json::json;
use simulator::{Fault, Health, Kind, Simulator};
use testkit::ControlPlane;
use testkit::workloads::Workloads;

use crate::kit::{World, condition, eventually, grant, install_flux, target};

/// Much longer than a test waits for anything.
const LONG_INTERVAL: &str = "--interval=10m";

fn is_watched(target: &IntegrationTarget) -> bool {
    condition(target, "Watched").is_some_and(|watched| watched.status == "True" && watched.reason == "Watching")
}

async fn follow_flux(world: &World, namespace: &str, kubeconfig: &str) {
    world.target("one", kubeconfig).await;
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": namespace } });
    world.integration("flux", spec).await;
}

#[tokio::test]
async fn watch_reports_a_break_between_two_rounds() {
    let mut world = World::new("watch-break").await;
    let workloads = install_flux("watch-break").await;
    follow_flux(&world, "watch-break", &target().await.kubeconfig()).await;
    world.start_operator(&[LONG_INTERVAL]).await;
    world.until_phase("flux", "Running").await;
    world.until_target("one", is_watched).await;

    workloads.scale("Deployment", "watch-break", "helm-controller", 0).await.unwrap();
    world.until_phase("flux", "Failed").await;
    workloads.scale("Deployment", "watch-break", "helm-controller", 1).await.unwrap();
    world.until_phase("flux", "Running").await;

    let deployments: Api<Deployment> = Api::namespaced(target().await.client().await.unwrap(), "watch-break");
    deployments.delete("helm-controller", &Default::default()).await.unwrap();
    let status = world.until_phase("flux", "Failed").await.status.unwrap();
    assert!(status.full_message().unwrap().contains("helm-controller is absent"));
}

#[tokio::test]
async fn watch_follows_a_tool_added_later() {
    let mut world = World::new("watch-more").await;
    let workloads = install_flux("watch-more").await;
    world.target("one", &target().await.kubeconfig()).await;
    world.start_operator(&[LONG_INTERVAL]).await;
    world.until_target("one", is_watched).await;
    let spec = json!({ "type": "flux", "targetClusters": ["one"], "config": { "namespace": "watch-more" } });
    world.integration("flux", spec).await;
    world.until_phase("flux", "Running").await;
    workloads.scale("Deployment", "watch-more", "source-controller", 0).await.unwrap();
    world.until_phase("flux", "Failed").await;
}

#[tokio::test]
async fn watch_forbidden_falls_back_to_polling() {
    let mut world = World::new("watch-denied").await;
    let workloads = install_flux("watch-denied").await;
    let rules = json!([{ "apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get", "list"] }]);
    grant("only-lists", "watch-denied", rules).await;
    let kubeconfig = target().await.kubeconfig_of("only-lists", None).unwrap();
    follow_flux(&world, "watch-denied", &kubeconfig).await;
    world.start_operator(&[]).await;
    world.until_phase("flux", "Running").await;
    let polled = |target: &IntegrationTarget| condition(target, "Watched").is_some_and(|c| c.status == "False");
    let target = world.until_target("one", polled).await;
    let watched = condition(&target, "Watched").unwrap();
    assert_eq!(watched.reason, "WatchForbidden");
    assert!(watched.message.contains("deployments in namespace watch-denied"), "{}", watched.message);
    assert!(watched.message.contains("add the verb watch"), "{}", watched.message);
    workloads.scale("Deployment", "watch-denied", "helm-controller", 0).await.unwrap();
    world.until_phase("flux", "Failed").await;
}

#[tokio::test]
async fn watch_survives_an_api_server_restart() {
    let mut plane = ControlPlane::builder("restarts").start().await.unwrap();
    let workloads = Workloads::new(plane.client().await.unwrap());
    workloads.namespace("flux-system").await.unwrap();
    for name in ["source-controller", "kustomize-controller", "helm-controller", "notification-controller"] {
        workloads.workload("Deployment", "flux-system", name, &Default::default(), 1).await.unwrap();
    }
    let mut world = World::new("watch-restart").await;
    follow_flux(&world, "flux-system", &plane.kubeconfig()).await;
    world.start_operator(&[LONG_INTERVAL]).await;
    world.until_phase("flux", "Running").await;

    plane.stop_api_server();
    plane.start_api_server().await.unwrap();
    workloads.scale("Deployment", "flux-system", "helm-controller", 0).await.unwrap();
    world.until_phase("flux", "Failed").await;
    let events = world.events().await;
    let unreachable = events.iter().any(|event| event.reason.as_deref() == Some("Unreachable"));
    assert!(!unreachable, "{events:#?}");
}

#[tokio::test]
async fn watch_of_idle_target_costs_one_list_an_interval() {
    let mut world = World::new("watch-idle").await;
    install_flux("watch-idle").await;
    let plane = target().await;
    follow_flux(&world, "watch-idle", &plane.kubeconfig_of("watch-idle", Some("system:masters")).unwrap()).await;
    let requests_since = |mark| {
        let mut requests = plane.audit().since(mark).unwrap();
        requests.retain(|event| event.user.username == "watch-idle");
        requests
    };
    world.start_operator(&["--interval=2s"]).await;
    world.until_phase("flux", "Running").await;
    world.until_target("one", is_watched).await;
    let begun = plane.audit().begun_by("watch-idle").unwrap();
    let watches: Vec<&str> =
        begun.iter().filter(|event| event.verb == "watch").map(|event| event.request_uri.as_str()).collect();
    assert!(!watches.is_empty() && watches.iter().all(|uri| uri.contains("&timeoutSeconds=")), "{watches:?}");
    let mark = plane.audit().mark();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let requests = requests_since(mark);
    assert!((4..=8).contains(&requests.len()), "{} requests in five intervals: {requests:?}", requests.len());
    assert!(requests.iter().all(|event| event.verb == "list"), "lists confirm the watches: {requests:?}");
}

/// Flux needs one list, so the next round finds a break.
#[tokio::test]
async fn watch_quiet_stream_is_broken_and_gap_reported() {
    let mut world = World::new("watch-quiet").await;
    let simulator = Simulator::start(2).await.unwrap();
    for (number, name) in [(0, "quiet"), (1, "other")] {
        world.target(name, &simulator.kubeconfig(number)).await;
    }
    world.integration("flux", json!({ "type": "flux", "targetSelector": {} })).await;
    world.start_operator(&["--interval=2s"]).await;
    world.until_phase("flux", "Running").await;
    for name in ["quiet", "other"] {
        world.until_target(name, is_watched).await;
    }
    simulator.inject(0, Some(Fault::QuietWatches));
    let broken = simulator.component(Kind::Deployment, "flux-system", "helm-controller").unwrap();
    assert!(simulator.set(0, broken, Health::Broken));
    world.until_phase("flux", "Failed").await;
    let target = world.until_target("quiet", |target| !is_watched(target)).await;
    let watched = condition(&target, "Watched").unwrap();
    assert_eq!((watched.status.as_str(), watched.reason.as_str()), ("False", "WatchBroken"));
    assert!(watched.message.contains("proxies"), "{}", watched.message);
    assert_eq!(condition(&target, "Reachable").unwrap().status, "True");
    assert!(simulator.set(0, broken, Health::Healthy));
    world.until_phase("flux", "Running").await;
    world.until_target("other", is_watched).await;
}

#[tokio::test]
async fn watched_condition_is_absent_while_unreachable() {
    let mut world = World::new("watch-never").await;
    let simulator = Simulator::start(1).await.unwrap();
    simulator.inject(0, Some(Fault::ServerError));
    world.target("one", &simulator.kubeconfig(0)).await;
    world.start_operator(&[]).await;
    let target = world.until_reach("one", "Unreachable").await;
    assert!(condition(&target, "Watched").is_none(), "{:?}", target.status);
    simulator.inject(0, None);
    world.until_target("one", is_watched).await;
    simulator.inject(0, Some(Fault::ServerError));
    let target = world.until_reach("one", "Unreachable").await;
    assert!(condition(&target, "Watched").is_none(), "{:?}", target.status);
}

/// Each of the hung targets blocks its place for 5 s: a queue of three minutes.
#[tokio::test]
async fn watch_mass_disconnect_delays_no_other_round() {
    const HUNG: u32 = 40;
    let mut world = World::new("watch-cut-off").await;
    let simulator = Simulator::start(HUNG + 1).await.unwrap();
    for number in 0..=HUNG {
        world.target(&format!("c{number}"), &simulator.kubeconfig(number)).await;
    }
    world.integration("flux", json!({ "type": "flux", "targetSelector": {} })).await;
    world.start_operator(&[LONG_INTERVAL, "--max-concurrent-reconciles=1"]).await;
    world.until_phase("flux", "Running").await;
    let before = simulator.counts().accepted;
    (0..HUNG).for_each(|number| simulator.inject(number, Some(Fault::HangInTls)));
    eventually("connections to the hung targets", async || (simulator.counts().accepted > before).then_some(())).await;
    world.integration("argocd", json!({ "type": "argocd", "targetClusters": [format!("c{HUNG}")] })).await;
    world.until_phase("argocd", "Running").await;
}
