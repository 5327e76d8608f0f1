//! A rolling restart, each replica back within a Lease duration, moves no slot.

use super::super::faults::Kind;
use super::super::world::World;

pub fn check(world: &World) -> Result<(), String> {
    if world.kind == Kind::Rolling { super::outages::unmoved(world) } else { Ok(()) }
}
