//! While the API server or etcd is away for a minute no slot moves, and none after.

use super::super::faults::Kind;
use super::super::world::{Broken, SETTLED, World};

pub fn check(world: &World) -> Result<(), String> {
    if world.kind == Kind::Outage { unmoved(world) } else { Ok(()) }
}

/// Every map from the first fault on divides the slots as the last one before it.
pub fn unmoved(world: &World) -> Result<(), String> {
    let before = super::maps(world).filter(|(at, _)| *at < SETTLED).last().ok_or("no map before the first fault")?;
    match super::maps(world).find(|(at, stored)| *at >= SETTLED && stored.map.shards != before.1.map.shards) {
        Some((at, _)) => Err(format!("slots moved at {at}")),
        None => Ok(()),
    }
}

#[test]
fn counting_silence_in_an_outage_is_found() {
    super::assert_found(Broken::SilenceInOutage, "outages");
}
