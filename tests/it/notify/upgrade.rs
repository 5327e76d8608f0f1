//! A hub with the CRDs of an earlier version.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use ksit::api::{IntegrationTarget, Notifier, crds};
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use kube::{CustomResourceExt, ResourceExt};
use loadtest::run::{Fleet, NAMESPACE, Provider};
use serde_json::json;
use testkit::ControlPlane;

use super::receiver::Receiver;
use crate::kit::eventually;

const KINDS: [&str; 2] = ["notifiers.ksit.io", "maintenancewindows.ksit.io"];

async fn until_all(fleet: &Fleet, phase: &str) {
    let targets: Api<IntegrationTarget> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    eventually(&format!("all targets to be {phase}"), async || {
        let all = targets.list(&Default::default()).await.ok()?.items;
        let is = |target: &IntegrationTarget| target.status.as_ref()?.phase.as_deref().map(|is| is == phase);
        all.iter().all(|target| is(target) == Some(true)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn hub_without_the_new_kinds_is_checked_and_notifies_once_it_has_them() {
    let hub = ControlPlane::builder("hub-before-notifiers").start().await.unwrap();
    let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
    let flags = ["--interval=1s", "--round-timeout=2s", "--log-level=info"];
    let mut fleet = Fleet::prepare_on(hub, ksit, (Provider::Sim, 3, 0), &["flux"], &flags).await.unwrap();
    let definitions: Api<CustomResourceDefinition> = Api::all(fleet.client.clone());
    for name in KINDS {
        definitions.delete(name, &DeleteParams::default()).await.unwrap();
    }
    fleet.scale_up(1).await.unwrap();
    until_all(&fleet, "Running").await;
    let log = fleet.replicas.log(0);
    assert!(log.contains("the CRDs are missing: ksit crds | kubectl apply"), "{log}");

    let apply = PatchParams::apply("test").force();
    for crd in crds::all().iter().filter(|crd| KINDS.contains(&crd.name_any().as_str())) {
        definitions.patch(&crd.name_any(), &apply, &Patch::Apply(crd)).await.unwrap();
    }
    let receiver = Receiver::start().await;
    let notifier = json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "Notifier", "metadata": { "name": "events" },
        "spec": { "after": "0s", "webhook": { "url": receiver.url } } });
    let notifiers: Api<Notifier> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    eventually(&format!("{} to be served", Notifier::crd_name()), async || {
        notifiers.patch("events", &apply, &Patch::Apply(&notifier)).await.ok()
    })
    .await;
    fleet.break_first(3).unwrap();
    until_all(&fleet, "Failed").await;
    receiver.until("an event", |received| !received.is_empty()).await;
}
