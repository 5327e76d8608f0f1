//! Hub outages: the API server is down, etcd is down, or the API server hangs.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use loadtest::run::{Fleet, NAMESPACE};
use serde_json::json;
use testkit::division::Division;
use testkit::resources::api;
use tokio::time::{Instant, sleep, timeout};

use super::{TIMEOUT, assert_no_violations, assert_stayed_true, break_and_wait, check_truth, prepare, until_owned_by};
use crate::kit::eventually;

/// Much longer than a Lease.
const OUTAGE: Duration = Duration::from_secs(60);

/// Shorter than an API server waits for etcd.
const FREEZE: Duration = Duration::from_secs(20);

/// From the first write that the hub accepts again until every change of the outage is written.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Breaks clusters during the outage, and asserts that checks go on.
async fn endure(fleet: &Fleet, outage: Duration, broken: u32) {
    fleet.break_first(broken).unwrap();
    sleep(outage).await;
    let longest_gap = fleet.clusters.simulator().unwrap().longest_without_request();
    assert!(longest_gap < Duration::from_secs(20), "checks go on: {longest_gap:?}");
}

/// Waits until the hub accepts writes of all kinds that replicas write; returns how long it was away. An API server has a
/// connection to etcd for each kind, and each backs off by itself for up to some seconds.
async fn until_writable(fleet: &Fleet, since: Instant) -> Duration {
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let lease = serde_json::from_value(json!({ "metadata": { "generateName": "writable-" } })).unwrap();
    let mark = Patch::Merge(json!({ "metadata": { "annotations": { "test/outage": format!("{since:?}") } } }));
    let may_write = async |kind: &str| {
        let objects = api(&fleet.client, NAMESPACE, kind);
        let name = objects.list(&ListParams::default().limit(1)).await.ok()?.items.first()?.name_any();
        objects.patch(&name, &PatchParams::default(), &mark).await.ok()
    };
    eventually("the hub to accept writes", async || {
        let writes = async {
            leases.create(&PostParams::default(), &lease).await.ok()?;
            may_write("Integration").await?;
            may_write("IntegrationTarget").await
        };
        timeout(Duration::from_secs(2), writes).await.ok()?
    })
    .await;
    println!("chaos: the hub was away for {:.1} s", since.elapsed().as_secs_f64());
    since.elapsed()
}

/// Asserts that all changes are published and no target moved. A new owner can't read a cluster while the hub, which
/// has its Secret, is away, so that only then every owner knows its clusters.
async fn assert_as_before(fleet: &mut Fleet, before: &Division, broken: u32) {
    fleet.until_phases(broken, TIMEOUT).await.unwrap();
    until_owned_by(fleet, &[0, 1, 2]).await;
    fleet.settle().await.unwrap();
    assert!(before.moved(&fleet.division().await.unwrap()).is_empty());
}

#[tokio::test]
async fn hub_outage_moves_no_target_and_loses_no_change() {
    let mut fleet = prepare().await;
    fleet.scale_up(3).await.unwrap();
    until_owned_by(&fleet, &[0, 1, 2]).await;
    break_and_wait(&fleet, 0).await;
    fleet.settle().await.unwrap();
    let before = fleet.division().await.unwrap();
    let truth = check_truth(&fleet).await;

    let since = Instant::now();
    fleet.hub.stop_api_server();
    endure(&fleet, OUTAGE, 30).await;
    fleet.hub.start_api_server().await.unwrap();
    let away = until_writable(&fleet, since).await;
    assert_as_before(&mut fleet, &before, 30).await;
    assert_stayed_true("the API server is away", &truth, away + CATCH_UP).await;

    let since = Instant::now();
    fleet.hub.stop_etcd();
    endure(&fleet, OUTAGE, 10).await;
    fleet.hub.start_etcd().await.unwrap();
    let away = until_writable(&fleet, since).await;
    assert_as_before(&mut fleet, &before, 10).await;
    assert_stayed_true("etcd is away", &truth, away + CATCH_UP).await;

    // A hang: connections stay open, nothing is answered.
    let since = Instant::now();
    fleet.hub.freeze_api_server(true).unwrap();
    endure(&fleet, FREEZE, 20).await;
    fleet.hub.freeze_api_server(false).unwrap();
    let away = until_writable(&fleet, since).await;
    assert_as_before(&mut fleet, &before, 20).await;
    assert_stayed_true("the API server hangs", &truth, away + CATCH_UP).await;
    fleet.replicas.check().unwrap();
    assert_no_violations(&fleet);
}
