//! Hundreds of namespaces are watched one by one, because ksit has rights in those only.

use std::net::{Ipv4Addr, SocketAddr};

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{Api, PostParams};
use loadtest::run::NAMESPACE;
use serde_json::json;
use testkit::faulty_proxy::FaultyProxy;
use testkit::installation::Tuning;
use testkit::usage::Usage;

use super::own_hub::{TIMEOUT, address, logs, prepare};

const NAMESPACES: usize = 300;

/// Watches in each namespace: Integrations and IntegrationTargets by worker and coordinator, IntegrationTypes once for both,
/// Notifiers and MaintenanceWindows by the coordinator.
const WATCHES: usize = 7;

/// Limit of open connections: an API server allows 100 watches on each; and a few for Leases and other requests.
const CONNECTIONS: usize = NAMESPACES * WATCHES / 100 + 10;

#[tokio::test]
async fn a8_many_namespaces_share_connections() {
    let mut fleet = prepare(5).await;
    let hub = FaultyProxy::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), address(&fleet)).await.unwrap();
    let names: Vec<String> = (0..NAMESPACES).map(|number| format!("team-{number:03}")).collect();
    for name in &names {
        let namespace = serde_json::from_value::<Namespace>(json!({ "metadata": { "name": name } })).unwrap();
        Api::<Namespace>::all(fleet.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
        let binding = json!({ "metadata": { "name": "ksit" },
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin" },
            "subjects": [{ "kind": "ServiceAccount", "name": "ksit", "namespace": NAMESPACE }] });
        let bindings: Api<RoleBinding> = Api::namespaced(fleet.client.clone(), name);
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
    }
    let flags = vec![format!("--watch-namespaces={NAMESPACE},{}", names.join(","))];
    let hub_url = Some(format!("https://{}", hub.address()));
    fleet.replicas.tune(0, Tuning { hub_url, flags, ..Tuning::default() });
    let started = fleet.scale_up(1).await.unwrap();
    fleet.until_phases(0, TIMEOUT).await.unwrap_or_else(|error| panic!("{error}\n{}", logs(&fleet, 1)));
    let took = started.elapsed();
    fleet.clusters.simulator().unwrap().break_first(3);
    fleet.until_phases(3, TIMEOUT).await.unwrap();
    let rss = Usage::of(fleet.replicas.replica(0).unwrap().pid()).unwrap().rss / 1024;
    eprintln!("a8: right after {took:?}; {rss} MiB; {} connections are open, {} were made", hub.open(), hub.accepted());
    assert!(hub.open() <= CONNECTIONS, "{} connections for {NAMESPACES} namespaces", hub.open());
}
