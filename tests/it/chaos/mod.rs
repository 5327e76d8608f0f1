//! Things go wrong for replicas, hub and network; then the hub's audit log is read, and must show that all was kept.

mod clocks;
mod hub;
mod installations;
mod network;
mod processes;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use ksit::api::{ShardMap, convert};
use ksit::domain::shard_map::PublishedMap;
use kube::api::Api;
use loadtest::checker::{Checked, check};
use loadtest::run::{Fleet, NAMESPACE};

use crate::kit::eventually;

const TARGETS: u32 = 60;

/// A member is deaf after 6 s, and for three seconds after a renewal a coordinator may still send a write: short, and not
/// so short that a busy machine alone decides.
const FLAGS: [&str; 4] = ["--interval=2s", "--round-timeout=2s", "--lease-duration=8s", "--lease-renew-interval=1s"];

/// For statuses to be right; the machine is busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A hub of its own, and simulated clusters. No replica runs yet.
async fn prepare() -> Fleet {
    Fleet::prepare(Path::new(env!("CARGO_BIN_EXE_ksit")), TARGETS, &FLAGS).await.unwrap()
}

/// The map, once exactly these replicas own the fleet and one of them leads.
async fn owned_by(fleet: &Fleet, ordinals: &[u32]) -> PublishedMap {
    let wanted: BTreeSet<String> = ordinals.iter().map(|ordinal| format!("ksit-{ordinal}")).collect();
    let api: Api<ShardMap> = Api::namespaced(fleet.client.clone(), NAMESPACE);
    eventually(&format!("{wanted:?} to own the fleet"), async || {
        let map = api.get_opt("ksit").await.ok()?.map(|map| convert::shard_map(&map))?;
        let members: BTreeSet<String> = map.map.members.keys().map(ToString::to_string).collect();
        (members == wanted && wanted.contains(map.coordinator.name.as_str())).then_some(map)
    })
    .await
}

fn leader(map: &PublishedMap) -> u32 {
    map.coordinator.name.ordinal().unwrap()
}

/// `broken` clusters are broken, and everybody who asks the hub is told so.
async fn tell(fleet: &Fleet, broken: u32) {
    fleet.clusters.simulator().unwrap().break_first(broken);
    fleet.until_phases(broken, PATIENCE).await.unwrap();
}

/// All that was promised was kept.
fn kept(fleet: &Fleet) -> Checked {
    let checked = check(&fleet.hub.audit(), None).unwrap();
    assert!(checked.violations.is_empty(), "{:#?}", checked.violations);
    assert!(checked.maps > 1 && checked.statuses > TARGETS as usize, "{checked:?}");
    checked
}
