//! Transitions between two statuses of a target. Each is a line of the coordinator's log, an Event, and an entry of the
//! history.
//!
//! ```text
//! cluster: Running ─> Failed        it can't be read any more; its tools follow without transitions of their own
//! tool:    Running ─> Degraded ─> Failed ─> Running, while the cluster can be read
//! ```

use std::time::Duration;

use jiff::Timestamp;

use super::{REACHABLE, TargetStatus, ToolStatus, Truth};
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Entries of a history at most.
const KEPT: usize = 20;

/// The status of an object is written once in this time. A transition that is reverted before was never written.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// One transition of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// Name of the Integration; `None` for the cluster itself.
    pub integration: Option<String>,
    /// Phase before.
    pub from: Phase,
    /// Phase after.
    pub to: Phase,
    /// Reason of the new phase.
    pub reason: Option<Reason>,
    /// Cause and remedy.
    pub message: String,
    /// Start of the former phase; `None` if not known.
    pub since: Option<Timestamp>,
}

/// One entry of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionRecord {
    /// In milliseconds.
    pub time: Timestamp,
    /// Name of the Integration; `None` for the cluster itself.
    pub integration: Option<String>,
    /// Phase before.
    pub from: Phase,
    /// Phase after.
    pub to: Phase,
    /// Reason of the new phase.
    pub reason: Option<Reason>,
}

impl PhaseChange {
    /// The new phase is bad, or needs attention.
    pub fn is_warning(&self) -> bool {
        is_warning(self.to)
    }

    /// A cluster or tool that is found healthy at first is no news.
    fn is_news(&self) -> bool {
        let is_initial = |phase| phase == Phase::Initializing;
        self.from != self.to && !is_initial(self.to) && (!is_initial(self.from) || self.is_warning())
    }
}

/// A phase that only a newer version knows counts as a warning.
fn is_warning(phase: Phase) -> bool {
    phase.is_bad() || phase == Phase::Degraded
}

/// Transitions from `former` to `status`, which still has the history of the former one.
pub fn phase_changes(former: Option<&TargetStatus>, status: &TargetStatus) -> Vec<PhaseChange> {
    let (before, now) = (former.map_or(Phase::Initializing, reach), reach(status));
    let reachable = status.condition(REACHABLE);
    let mut changes = vec![PhaseChange {
        integration: None,
        from: before,
        to: now,
        reason: reachable.and_then(|reachable| reachable.reason),
        message: reachable.map_or_else(String::new, |reachable| reachable.message.clone()),
        since: former.and_then(|former| former.condition(REACHABLE)).map(|former| former.since),
    }];
    if now == Phase::Running {
        changes.extend(status.tools.iter().map(|tool| {
            let former = former.filter(|_| before == Phase::Running);
            let known = former.and_then(|former| former.tools.iter().find(|known| known.name == tool.name));
            tool_change(tool, known, status, before)
        }));
    }
    changes.retain(PhaseChange::is_news);
    changes
}

/// `known`: the former state of the tool, if the cluster could be read before.
fn tool_change(
    tool: &ToolStatus,
    known: Option<&ToolStatus>,
    status: &TargetStatus,
    reach_before: Phase,
) -> PhaseChange {
    let to = tool.phase.unwrap_or(Phase::Unknown);
    let recorded = status.history.iter().find(|entry| entry.integration.as_ref() == Some(&tool.name));
    let from = match (known, recorded) {
        (Some(known), _) => known.phase.unwrap_or(Phase::Unknown),
        (None, Some(recorded)) if reach_before != Phase::Running => recorded.to,
        // As far as the history goes back the tool was healthy.
        (None, None) if reach_before != Phase::Initializing && !is_warning(to) => to,
        (None, None) if !matches!(reach_before, Phase::Running | Phase::Initializing) => Phase::Unknown,
        (None, _) => Phase::Initializing,
    };
    PhaseChange {
        integration: Some(tool.name.clone()),
        from,
        to,
        reason: tool.reason,
        message: tool.message.clone(),
        since: known.and_then(|known| known.since),
    }
}

/// The phase of the cluster itself, whatever its tools are.
fn reach(status: &TargetStatus) -> Phase {
    let Some(reachable) = status.condition(REACHABLE) else { return Phase::Initializing };
    match (reachable.truth, reachable.reason) {
        (Truth::True, _) => Phase::Running,
        (Truth::False, _) => Phase::Failed,
        (_, Some(Reason::Paused)) => Phase::Paused,
        (_, Some(Reason::Stale)) => Phase::Unknown,
        _ => Phase::Initializing,
    }
}

/// Puts the changes on top of a history.
pub fn record(history: &mut Vec<TransitionRecord>, changes: &[PhaseChange], now: Timestamp) {
    for change in changes {
        if reverts_unwritten(history, change, now) {
            history.remove(0);
            continue;
        }
        let PhaseChange { integration, from, to, reason, message: _, since: _ } = change;
        let time = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now);
        let entry = TransitionRecord { time, integration: integration.clone(), from: *from, to: *to, reason: *reason };
        history.insert(0, entry);
    }
    history.truncate(KEPT);
}

/// Whether the newest entry is the opposite of `change`, and still waits because another status was written just before.
fn reverts_unwritten(history: &[TransitionRecord], change: &PhaseChange, now: Timestamp) -> bool {
    let Some(newest) = history.first() else { return false };
    let is_opposite = newest.integration == change.integration && newest.from == change.to && newest.to == change.from;
    // Entries with the same time belong to one status.
    let before = history.iter().find(|entry| entry.time != newest.time);
    is_opposite && before.is_some_and(|before| now.duration_since(before.time).unsigned_abs() < UNWRITTEN)
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
