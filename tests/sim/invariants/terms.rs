//! Terms only grow and have one claimant; no status of a former term lands once a newer one is claimed.

use std::collections::BTreeMap;

use super::super::hub::Object;
use super::super::world::{Broken, World};

pub fn check(world: &World) -> Result<(), String> {
    let (mut term, mut claimants, mut of_objects) = (0, BTreeMap::new(), BTreeMap::new());
    for (at, object) in &world.hub.log {
        match object {
            Object::Map(stored) => {
                if stored.map.term.0 < term {
                    return Err(format!("at {at} the term fell from {term} to {}", stored.map.term));
                }
                term = stored.map.term.0;
                let claimant = claimants.entry(term).or_insert_with(|| stored.claimant.clone());
                if *claimant != stored.claimant {
                    return Err(format!("at {at} term {term} has two claimants"));
                }
            }
            Object::Status(target, status) => {
                let of_object = of_objects.entry(*target).or_insert(0);
                if status.term() < term || status.term() < *of_object {
                    return Err(format!("at {at} a status of term {} landed in term {term}", status.term()));
                }
                *of_object = status.term();
            }
            Object::Lease(..) => {}
        }
    }
    Ok(())
}

#[test]
fn a_missing_fence_is_found() {
    super::assert_found(Broken::Fence, "terms");
}
