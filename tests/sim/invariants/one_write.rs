//! A change of the members, of any size, is one write of the map; the only other writes claim terms.

use super::super::world::{Broken, World};

pub fn check(world: &World) -> Result<(), String> {
    let maps: Vec<_> = super::maps(world).collect();
    for pair in maps.windows(2) {
        let ((_, former), (at, stored)) = (pair[0], pair[1]);
        let is_claim = stored.map.term > former.map.term;
        if !is_claim && stored.map.members == former.map.members {
            return Err(format!("at {at} the map was written and the members are as before"));
        }
        if is_claim && (&stored.map.members, &stored.map.shards) != (&former.map.members, &former.map.shards) {
            return Err(format!("at {at} a claim changed the division"));
        }
    }
    Ok(())
}

#[test]
fn echo_taken_for_drift_is_found() {
    super::assert_found(Broken::EchoAsDrift, "one write");
}
