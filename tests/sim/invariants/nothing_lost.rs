//! When the faults are over the hub comes to say what is true of every target.

use super::super::world::World;

pub fn check(world: &World) -> Result<(), String> {
    let told = world.hub.statuses.iter().map(|status| status.verdict);
    let wrong: Vec<usize> = told.zip(&world.truth).enumerate().filter(|(_, (a, b))| a != *b).map(|(n, _)| n).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("the hub is wrong about {wrong:?}")) }
}
