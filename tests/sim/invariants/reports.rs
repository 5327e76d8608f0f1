//! A status is from a report of the owner of the target: in every map from the one that the reporter worked by up to the
//! newest that the coordinator knew when it accepted the report.

use ksit::domain::reason::Reason;
use ksit::domain::slot::Slot;
use ksit::domain::status::REACHABLE;

use super::super::hub::Object;
use super::super::world::{Broken, World, target};

pub fn check(world: &World) -> Result<(), String> {
    for (at, object) in &world.hub.log {
        let Object::Status(number, stored) = object else { continue };
        let status = stored.status.as_ref().ok_or("a write without a status")?;
        // The coordinator itself marks targets as stale.
        if status.condition(REACHABLE).is_some_and(|reachable| reachable.reason == Some(Reason::Stale)) {
            continue;
        }
        let (reporter, epoch) = status.reported_by.as_ref().zip(status.report_epoch).ok_or("nobody reported")?;
        let slot = Slot::of(&target(*number));
        let known: Vec<_> = super::maps(world)
            .filter(|(_, stored_map)| (epoch.0..=stored.known_epoch).contains(&stored_map.map.epoch.0))
            .collect();
        let is_owner = |process: &ksit::domain::replica::Incarnation| {
            process.name == *reporter && stored.sender.as_ref().is_none_or(|sender| sender == process)
        };
        if known.is_empty() || !known.iter().all(|(_, map)| map.map.owner(slot).is_some_and(is_owner)) {
            return Err(format!("at {at} {reporter} ({:?}) reported {number} by epoch {epoch}", stored.sender));
        }
    }
    Ok(())
}

#[test]
fn report_of_any_sender_is_found() {
    super::assert_found(Broken::AnySender, "reports");
}
