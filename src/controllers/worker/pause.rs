//! The verdict and the remaining time of a target that its user has paused.

use std::time::Duration;

use jiff::Timestamp;

use super::Assignment;
use crate::domain::backoff::MAX_BACKOFF;
use crate::domain::reason::Reason;
use crate::domain::verdict::{Phase, Reach, TargetVerdict, ToolVerdict};

/// The verdict on the target and on all tools there.
pub(super) fn paused(assignment: &Assignment) -> TargetVerdict {
    let tool = || ToolVerdict::without_observations(Phase::Paused, Reason::Paused, "the cluster is paused");
    TargetVerdict { reach: Reach::Paused, tools: assignment.keys().into_iter().map(|key| (key, tool())).collect() }
}

/// Time from `now` to the end of the pause; the longest back-off if the pause has no end.
pub(super) fn remaining(end: Option<Timestamp>, now: Timestamp) -> Duration {
    end.and_then(|end| Duration::try_from(end.duration_since(now)).ok())
        .unwrap_or(MAX_BACKOFF)
        .max(Duration::from_millis(10))
}
