//! Every version of the map gives each slot to one member, and in the end the members are the living replicas.

use std::collections::BTreeSet;

use super::super::world::{Broken, World};

pub fn check(world: &World) -> Result<(), String> {
    for (at, stored) in super::maps(world) {
        stored.map.check().map_err(|error| format!("at {at}: {error}"))?;
    }
    let map = &world.hub.map.as_ref().ok_or("there is no map")?.map;
    let members: BTreeSet<_> = map.members.values().cloned().collect();
    let living: BTreeSet<_> =
        world.slots.iter().filter_map(|slot| slot.replica.as_ref()).map(|replica| replica.me.clone()).collect();
    if members != living {
        return Err(format!("the members are {members:?}, and {living:?} live"));
    }
    let leading =
        world.slots.iter().filter(|slot| slot.replica.as_ref().is_some_and(|one| one.leader.is_some())).count();
    if leading == 1 { Ok(()) } else { Err(format!("{leading} lead in the end")) }
}

#[test]
fn unseen_leases_are_found() {
    super::assert_found(Broken::LeasesUnseen, "owners");
}
