//! A target as the coordinator tracks it.

use std::sync::Arc;
use std::time::Duration;

use super::CachedStatus;
use crate::domain::desired::DesiredTarget;
use crate::domain::replica::Incarnation;
use crate::domain::report::TargetReport;
use crate::domain::slot::Slot;
use crate::domain::status::TargetStatus;

pub(super) struct Target {
    pub(super) slot: Slot,
    /// The spec, or why it can't be used.
    pub(super) desired: Result<DesiredTarget, String>,
    pub(super) generation: i64,
    /// Interval of its checks; `None` until it is computed after a change of an Integration.
    pub(super) interval: Option<Duration>,
    /// The status on the hub, or on its way there.
    pub(super) status: Option<CachedStatus>,
    /// A coordinator of another term wrote the status during this term: it is overwritten whatever it says.
    pub(super) written_by_other_term: bool,
    /// The newest report, until the hub shows its status.
    pub(super) report: Option<TargetReport>,
    /// The last message about it in this term.
    pub(super) last_message: Option<LastMessage>,
    /// Time of its last observation, as its owner confirms it.
    pub(super) observed: Option<Duration>,
    /// Time at which that is too long ago.
    pub(super) stale_at: Duration,
    /// The status shows it as stale.
    pub(super) is_stale: bool,
    /// Time since which it has the label by which its owner sees it.
    pub(super) labelled: Option<Duration>,
}

pub(super) struct LastMessage {
    pub(super) sender: Arc<Incarnation>,
    /// Digest of the status; `None` from a worker of an earlier version.
    pub(super) meaning: Option<u128>,
    pub(super) at: Duration,
}

impl Target {
    pub(super) fn status(&self) -> Option<&TargetStatus> {
        self.status.as_ref().map(|cached| &cached.status)
    }

    /// Whether `stored` is the status that was last written, however much of it the hub kept.
    pub(super) fn is_written_as(&self, stored: Option<&CachedStatus>) -> bool {
        let time = |cached: &CachedStatus| cached.status.synced_at;
        let written = self.report.as_ref().and(self.status.as_ref()).and_then(time);
        written.is_some() && written == stored.and_then(time)
    }
}
