//! Open connections to the hub stay open but deliver nothing: a load balancer has forgotten them.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ksit::api::IntegrationTarget;
use kube::api::{Api, PostParams};
use loadtest::run::NAMESPACE;
use serde_json::json;
use testkit::faulty_proxy::FaultyProxy;
use testkit::installation::Tuning;
use tokio::time::{Instant, sleep};

use super::own_hub::{TIMEOUT, address, logs, prepare};

/// Limit; kube itself would notice after 290 s.
const NOTICE_TIMEOUT: Duration = Duration::from_secs(120);

/// Polls `look` until it returns something; `None` after `time`.
async fn eventually_within<T>(time: Duration, look: impl AsyncFn() -> Option<T>) -> Option<T> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if let Some(found) = look().await {
            return Some(found);
        }
        sleep(Duration::from_millis(200)).await;
    }
    None
}

#[tokio::test]
async fn a17_silenced_connection_is_replaced() {
    let mut fleet = prepare(6).await;
    let hub = FaultyProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), address(&fleet)).await.unwrap();
    let hub_url = Some(format!("https://{}", hub.address()));
    fleet.replicas.tune(0, Tuning { hub_url, ..Tuning::default() });
    fleet.scale_up(1).await.unwrap();
    fleet.until_phases(0, TIMEOUT).await.unwrap();
    let truth = fleet.check_truth(0..6).unwrap();
    truth.during(Duration::from_secs(3)).await;
    hub.silence_open_connections();
    let spec = json!({ "clusterName": "extra", "labels": { "env": "load" },
        "kubeconfigSecretRef": { "name": "c00000-kubeconfig" } });
    let metadata = json!({ "name": "extra" });
    let targets: Api<IntegrationTarget> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    let target = serde_json::from_value(json!({ "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
        "metadata": metadata, "spec": spec }));
    targets.create(&PostParams::default(), &target.unwrap()).await.unwrap();
    let begun = Instant::now();
    let is_running = async || targets.get("extra").await.ok()?.status?.phase.filter(|phase| phase == "Running");
    let phase = eventually_within(NOTICE_TIMEOUT, is_running).await;
    assert_eq!(phase.as_deref(), Some("Running"), "{}", logs(&fleet, 1));
    let noticed = begun.elapsed();
    truth.until_right(TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 1)));
    let found = truth.findings();
    eprintln!("a17: noticed after {noticed:?}; a status was wrong for {:?} at the most", found.wrong.lasted);
    assert!(found.wrong.lasted < NOTICE_TIMEOUT, "{found:?}");
    fleet.replicas.check().unwrap();
}
