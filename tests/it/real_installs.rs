//! Real installs of the tools on a real cluster are Running, and Failed with the component's name when one breaks.
//!
//! The objects come from the fixtures (`manifests`) and run on a real API server, controller-manager and scheduler;
//! kwok makes their Pods ready.

use std::collections::BTreeMap;
use std::time::Instant;

use ksit::api::Integration;
use ksit::api::catalogue;
use ksit::domain::component::{Component, ComponentKind, Presence};
use ksit::domain::integrations::expected_of;
use kube::Client;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};
use testkit::ControlPlane;

use crate::kit::World;
use crate::manifests::{Fixture, all};

/// Installs of one tool share names and run in turn; the tools run side by side, as on a user's cluster.
#[tokio::test]
async fn real_installs_run_and_broken_components_are_named() {
    let cluster = ControlPlane::builder("installs").with_workloads().start().await.unwrap();
    let client = cluster.client().await.unwrap();
    let mut world = World::new("installs").await;
    world.target("installs", &cluster.kubeconfig()).await;
    world.start_operator(&[]).await;
    let mut by_tool: BTreeMap<String, Vec<Fixture>> = BTreeMap::new();
    for fixture in all() {
        by_tool.entry(fixture.tool.clone()).or_default().push(fixture);
    }
    futures::future::join_all(by_tool.values().map(async |fixtures| {
        for fixture in fixtures {
            try_install(&world, &client, fixture).await;
        }
    }))
    .await;
}

async fn try_install(world: &World, client: &Client, fixture: &Fixture) {
    let started = Instant::now();
    let objects = apply(client, fixture).await;
    let name = format!("{}-{}", fixture.tool, fixture.name).replace(['_', '.'], "-").to_lowercase();
    let spec = json!({ "type": fixture.tool, "targetClusters": ["installs"], "config": fixture.config });
    world.integration(&name, spec).await;
    world.until_phase(&name, "Running").await;
    let components = required(fixture);
    for component in &components {
        break_and_mend(world, client, fixture, component, &name).await;
    }
    println!(
        "{}: {objects} objects Running; {} required components broken, each named; {} s",
        fixture.title(),
        components.len(),
        started.elapsed().as_secs()
    );
    world.delete::<Integration>(&name).await;
    remove(client, fixture).await;
}

fn required(fixture: &Fixture) -> Vec<Component> {
    let all = expected_of(catalogue::tool(&fixture.tool).unwrap(), &fixture.config).unwrap().components;
    // A profile may leave some of them out, and others are not in the fixtures.
    let is_there = |component: &Component| {
        let key = format!("{}/{}", component.kind, component.name);
        fixture.found.get(&key).is_some_and(|found| !found.is_empty())
    };
    all.into_iter().filter(|component| component.presence == Presence::Required && is_there(component)).collect()
}

/// Breaks the first object that a component finds, waits until the status names it, and mends it.
async fn break_and_mend(world: &World, client: &Client, fixture: &Fixture, component: &Component, name: &str) {
    let key = format!("{}/{}", component.kind, component.name);
    let object = fixture.found.get(&key).and_then(|found| found.first()).unwrap_or_else(|| panic!("{key}")).clone();
    let (kind, namespace) = fixture.place(component, &object);
    let named = format!("{kind} {namespace}/{object}");
    let is_failed = |integration: &Integration| {
        integration.status.as_ref().is_some_and(|status| {
            status.phase.as_deref() == Some("Failed") && status.full_message().is_some_and(|m| m.contains(&named))
        })
    };
    match kind {
        ComponentKind::Service => {
            let api = api(client, kind.as_str(), namespace);
            let service = api.get(&object).await.unwrap();
            if service.data["spec"]["type"] == "ExternalName" {
                api.delete(&object, &DeleteParams::default()).await.unwrap();
                world.until_integration(name, is_failed).await;
                apply(client, fixture).await;
                world.until_phase(name, "Running").await;
                return;
            }
            let selector = service.data["spec"]["selector"].clone();
            let no_pods = json!({ "spec": { "selector": { "broken": "yes" } } });
            api.patch(&object, &PatchParams::default(), &Patch::Merge(no_pods)).await.unwrap();
            world.until_integration(name, is_failed).await;
            let mut mended = json!({ "spec": { "selector": selector } });
            mended["spec"]["selector"]["broken"] = Value::Null;
            api.patch(&object, &PatchParams::default(), &Patch::Merge(mended)).await.unwrap();
        }
        // A DaemonSet has no replicas to set to 0: its Pods request more CPU than the node has.
        ComponentKind::DaemonSet => {
            let api = api(client, kind.as_str(), namespace);
            let ask = async |cpu: Value| {
                let container = json!({ "name": "app", "resources": { "requests": { "cpu": cpu } } });
                let patch =
                    Patch::Strategic(json!({ "spec": { "template": { "spec": { "containers": [container] } } } }));
                api.patch(&object, &PatchParams::default(), &patch).await.unwrap();
            };
            ask(json!("100000")).await;
            world.until_integration(name, is_failed).await;
            ask(Value::Null).await;
        }
        _ => {
            let api = api(client, kind.as_str(), namespace);
            let replicas = api.get(&object).await.unwrap().data["spec"]["replicas"].clone();
            let scale = async |to: Value| {
                let patch = Patch::Merge(json!({ "spec": { "replicas": to } }));
                api.patch(&object, &PatchParams::default(), &patch).await.unwrap();
            };
            scale(json!(0)).await;
            world.until_integration(name, is_failed).await;
            scale(replicas).await;
        }
    }
    world.until_phase(name, "Running").await;
}

/// Applies the fixture; returns the number of its objects.
async fn apply(client: &Client, fixture: &Fixture) -> usize {
    let objects = fixture.objects();
    for object in &objects {
        let (kind, namespace, name) = identity(object);
        let params = PatchParams::apply("test").force();
        api(client, kind, namespace).patch(name, &params, &Patch::Apply(object)).await.unwrap();
    }
    objects.len()
}

/// Removes objects whose names the next install may reuse. Namespaces stay, since other tools may use them, and so do
/// CRDs, as with Helm; controllers need long to delete either.
async fn remove(client: &Client, fixture: &Fixture) {
    for object in fixture.objects().iter().rev() {
        let (kind, namespace, name) = identity(object);
        if !matches!(kind, "Namespace" | "CustomResourceDefinition") {
            api(client, kind, namespace).delete(name, &DeleteParams::default()).await.unwrap();
        }
    }
}

fn identity(object: &Value) -> (&str, &str, &str) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    (text("/kind"), text("/metadata/namespace"), text("/metadata/name"))
}

fn api(client: &Client, kind: &str, namespace: &str) -> Api<DynamicObject> {
    let group = match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" => "apps",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        _ => "",
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind));
    match namespace {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}
