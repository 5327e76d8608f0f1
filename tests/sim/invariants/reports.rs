//! A status is from a report of who owned the target: from the map that the reporter went by up to the newest that the
//! coordinator knew when it believed the report.

use ksit::domain::slot::Slot;

use super::super::hub::Object;
use super::super::world::{World, target};

pub fn check(world: &World) -> Result<(), String> {
    for (at, object) in &world.hub.log {
        let Object::Status(number, status) = object else { continue };
        let reporter = status.reported_by.as_ref().ok_or_else(|| format!("at {at} nobody reported {number}"))?;
        let slot = Slot::of(&target(*number));
        let known: Vec<_> = super::maps(world)
            .filter(|(_, stored)| (status.epoch..=status.accepted).contains(&stored.map.epoch.0))
            .collect();
        if known.is_empty() || known.iter().any(|(_, stored)| stored.map.owner(slot) != Some(reporter)) {
            return Err(format!("at {at} {reporter} reported {number} by epoch {}", status.epoch));
        }
    }
    Ok(())
}
