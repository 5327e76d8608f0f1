//! When the faults are over, the hub comes to show the truth about every target.

use ksit::domain::verdict::Phase;

use super::super::world::{Broken, World};

pub fn check(world: &World) -> Result<(), String> {
    let shown = world.hub.statuses.iter().map(|status| status.status.as_ref().and_then(|status| status.phase));
    let is_wrong =
        |(shown, truth): (Option<Phase>, u32)| shown != Some(if truth == 0 { Phase::Running } else { Phase::Failed });
    let pairs = shown.zip(world.truth.iter().copied());
    let wrong: Vec<usize> = pairs.enumerate().filter(|(_, pair)| is_wrong(*pair)).map(|(number, _)| number).collect();
    if wrong.is_empty() { Ok(()) } else { Err(format!("the hub is wrong about {wrong:?}")) }
}

#[test]
fn lost_requests_are_found() {
    super::assert_found(Broken::RequestsLost, "nothing lost");
}
