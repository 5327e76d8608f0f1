//! etcd is restored from a backup older than the replicas' view: resourceVersions go backwards.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use loadtest::run::{Fleet, NAMESPACE};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::own_hub::{TIMEOUT, logs, map, prepare};
use crate::kit::eventually;

/// Limit for the fleet to be led again; even a short outage of the hub takes longer.
const RECOVERY: Duration = Duration::from_secs(30);

/// Longer than a Lease.
const OUTAGE: Duration = Duration::from_secs(12);

/// Limit for all replicas together. Excludes status writes, which have their own limit, and Events.
const REQUESTS_A_SECOND: f64 = 50.0;

/// Averages the burst of requests when all watches end at once.
const WINDOW: Duration = Duration::from_secs(3);

/// A stranger takes the coordinator's Lease and stays silent, which forces a new term.
async fn force_new_term(fleet: &Fleet) {
    let before = map(fleet).await.unwrap().map.term;
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let patch = json!({ "spec": { "holderIdentity": "somebody_else_entirely" } });
    leases.patch("ksit-coordinator", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    eventually("another term", async || (map(fleet).await?.map.term > before).then_some(())).await;
}

/// Each Lease's resourceVersion, which changes with every renewal.
async fn renewals(fleet: &Fleet) -> BTreeMap<String, String> {
    let leases: Api<Lease> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let leases = leases.list(&Default::default()).await.unwrap();
    leases.items.iter().map(|lease| (lease.name_any(), lease.resource_version().unwrap())).collect()
}

/// The requests of all replicas in the busiest `WINDOW`, without status writes and Events.
fn busiest(fleet: &Fleet, mark: u64) -> Vec<String> {
    let account = format!("system:serviceaccount:{NAMESPACE}:ksit");
    let mut requests: Vec<(Timestamp, String)> = Vec::new();
    for event in fleet.hub.audit().since(mark).unwrap() {
        let code = event.code();
        let object = event.object_ref.unwrap_or_default();
        let is_excluded = object.resource == "events" || (object.subresource == "status" && event.verb == "update");
        if event.user.username == account && !is_excluded {
            let at = event.request_received_timestamp.parse().unwrap();
            requests.push((at, format!("{} {}/{} {code}", event.verb, object.resource, object.name)));
        }
    }
    requests.sort();
    let window = |from: usize| {
        let end = requests[from].0 + WINDOW;
        requests[from..].iter().take_while(|(at, _)| *at < end).map(|(_, what)| what.clone()).collect::<Vec<_>>()
    };
    (0..requests.len()).map(window).max_by_key(Vec::len).unwrap_or_default()
}

#[tokio::test]
async fn a6_restored_hub_is_led_again() {
    let mut fleet = prepare(30).await;
    fleet.scale_up(3).await.unwrap();
    fleet.settle().await.unwrap();
    fleet.until_phases(0, TIMEOUT).await.unwrap();
    let truth = fleet.check_truth(0..30).unwrap();
    truth.during(Duration::from_secs(5)).await;
    fleet.hub.back_up().await.unwrap();
    let kept = map(&fleet).await.unwrap();
    force_new_term(&fleet).await;
    truth.until_right(TIMEOUT).await.unwrap();
    force_new_term(&fleet).await;
    truth.until_right(TIMEOUT).await.unwrap();
    let lost = map(&fleet).await.unwrap();
    assert!(lost.map.term.0 >= kept.map.term.0 + 2, "{} and {}", kept.map.term, lost.map.term);

    let mark = fleet.hub.audit().mark();
    fleet.hub.stop_api_server();
    fleet.hub.stop_etcd();
    sleep(OUTAGE).await;
    fleet.hub.restore().await.unwrap();
    let back = Instant::now();
    // A term above the backup's shows that a replica leads, and its number shows that it counted from the backup.
    let led =
        eventually("the fleet to be led again", async || map(&fleet).await.filter(|map| map.map.term > kept.map.term));
    let map = tokio::time::timeout(RECOVERY, led).await.unwrap_or_else(|_| panic!("{}", logs(&fleet, 3)));
    assert!(map.map.term < lost.map.term.next(), "counted from the backup: {}", map.map.term);
    let left = RECOVERY.saturating_sub(back.elapsed());
    truth.until_right(left).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 3)));
    let took = back.elapsed();

    let before = renewals(&fleet).await;
    let found = truth.during(Duration::from_secs(10)).await;
    let after = renewals(&fleet).await;
    assert!(found.wrong.lasted < Duration::from_secs(10), "{found:?}\n{}", logs(&fleet, 3));
    assert!(after.len() == 4 && before.iter().all(|(name, version)| after[name] != *version), "{before:?} {after:?}");
    let busiest = busiest(&fleet, mark);
    let a_second = busiest.len() as f64 / WINDOW.as_secs_f64();
    assert!(a_second <= REQUESTS_A_SECOND, "{a_second} requests a second: {busiest:#?}");
    fleet.replicas.check().unwrap();
    eprintln!(
        "a6: led, and statuses true, {took:?} after the hub was back and wrong for {:?} since, in term {} after {} and \
         {}; {a_second:.0} requests a second",
        found.wrong.lasted, map.map.term, kept.map.term, lost.map.term,
    );
}
