//! How soon a queued write is made while others wait.

use super::verdict::{Phase, Reach, TargetVerdict};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// A tool fails.
    Failing,
    /// A cluster can't be read. When a network fails, thousands of these come at once.
    Unreachable,
    CanWait,
    /// More detail about a cluster whose phase stays.
    Detail,
    /// An Integration's roll-up. It names up to a hundred clusters, so that it costs the hub as much as several statuses
    /// of targets.
    Summary,
}

impl Priority {
    pub fn of(verdict: &TargetVerdict) -> Self {
        match &verdict.reach {
            Reach::Failed(_) => Self::Unreachable,
            _ if verdict.phase() == Phase::Failed => Self::Failing,
            _ => Self::CanWait,
        }
    }
}
