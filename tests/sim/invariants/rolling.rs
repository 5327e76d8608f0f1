//! A rolling restart, each replica back within a Lease duration, moves no slot.

use super::super::faults::Kind;
use super::super::world::{Broken, World};

pub fn check(world: &World) -> Result<(), String> {
    if world.kind == Kind::Rolling { super::outages::unmoved(world) } else { Ok(()) }
}

#[test]
fn members_that_nobody_waits_for_are_found() {
    super::assert_found(Broken::NobodyWanted, "rolling");
}
