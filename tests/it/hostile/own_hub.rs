//! A fleet with its own hub, for faults of the hub.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ksit::api::{ShardMap, convert};
use ksit::domain::shard_map::PublishedMap;
use kube::api::Api;
use loadtest::run::{Fleet, NAMESPACE, Provider};
use testkit::ControlPlane;

/// Time-out for statuses to be right before and after a fault; the machine is busy.
pub const TIMEOUT: Duration = Duration::from_secs(90);

/// Short times for everything but the Leases, which keep the chart's defaults.
const FLAGS: [&str; 3] = ["--interval=2s", "--round-timeout=2s", "--log-level=info,ksit=debug"];

/// A hub that audits reads too, and simulated clusters. No replica runs yet.
pub async fn prepare(targets: u32) -> Fleet {
    let hub = ControlPlane::builder("hub").start().await.unwrap();
    let ksit = Path::new(env!("CARGO_BIN_EXE_ksit"));
    Fleet::prepare_on(hub, ksit, (Provider::Sim, targets, 0), &["flux"], &FLAGS).await.unwrap()
}

pub async fn map(fleet: &Fleet) -> Option<PublishedMap> {
    let api: Api<ShardMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    api.get_opt("ksit").await.ok()?.map(|map| convert::shard_map(&map))
}

pub fn address(fleet: &Fleet) -> SocketAddr {
    fleet.hub.url().trim_start_matches("https://").parse().unwrap()
}

pub fn logs(fleet: &Fleet, count: u32) -> String {
    (0..count).map(|ordinal| format!("---- ksit-{ordinal}\n{}", fleet.replicas.log(ordinal))).collect()
}
