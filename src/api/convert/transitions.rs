//! Derives the phase transitions between two statuses of a target. Each becomes a line of the coordinator's log, an
//! Event, and an entry of the history.
//!
//! ```text
//! cluster: Running ─> Failed        it became unreachable; its tools get no transition of their own
//! tool:    Running ─> Degraded ─> Failed ─> Running, while the cluster is reachable
//! ```

use std::time::Duration;

use jiff::Timestamp;

use crate::api::{IntegrationResult, IntegrationTargetStatus, TransitionRecord};
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Maximum number of history entries.
const MAX_HISTORY: usize = 20;

/// Minimum time between two writes of a status. A transition that is reverted within it is dropped.
const WRITE_INTERVAL: Duration = Duration::from_secs(1);

/// A phase transition of a target, or of a tool on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// Name of the Integration; `None` for the cluster itself.
    pub integration: Option<String>,
    pub from: String,
    pub to: String,
    pub reason: String,
    pub message: String,
    /// Start of the phase `from`, if known.
    pub since: Option<Timestamp>,
}

impl PhaseChange {
    /// Whether the new phase is a problem or needs attention.
    pub fn is_warning(&self) -> bool {
        is_warning(&self.to)
    }

    /// Whether the transition is worth reporting. A cluster or tool that is healthy when first checked is not.
    fn is_news(&self) -> bool {
        let is_initial = |phase: &str| phase == Phase::Initializing.as_str();
        self.from != self.to && !is_initial(&self.to) && (!is_initial(&self.from) || self.is_warning())
    }
}

/// Whether the phase is a warning. A phase that only a newer version knows counts as one.
fn is_warning(phase: &str) -> bool {
    Phase::read(phase).is_none_or(|phase| phase.is_bad() || phase == Phase::Degraded)
}

/// Returns the transitions from `former` to `status`, which still has the history of `former`.
pub fn phase_changes(former: Option<&IntegrationTargetStatus>, status: &IntegrationTargetStatus) -> Vec<PhaseChange> {
    let (before, now) = (former.map_or(Phase::Initializing, reach), reach(status));
    let mut changes = Vec::new();
    let reachable = status.condition("Reachable");
    let since = former.and_then(|former| former.condition("Reachable")).map(|former| former.last_transition_time.0);
    changes.push(PhaseChange {
        integration: None,
        from: before.as_str().to_owned(),
        to: now.as_str().to_owned(),
        reason: reachable.map_or_else(String::new, |reachable| reachable.reason.clone()),
        message: reachable.map_or_else(String::new, |reachable| reachable.message.clone()),
        since,
    });
    if now == Phase::Running {
        changes.extend(status.integrations.iter().map(|tool| {
            let former = former.filter(|_| before == Phase::Running);
            let known = former.and_then(|former| former.integrations.iter().find(|known| known.name == tool.name));
            change_of_tool(tool, known, status, before)
        }));
    }
    changes.retain(PhaseChange::is_news);
    changes
}

/// `known`: the former result, if the cluster was reachable before.
fn change_of_tool(
    tool: &IntegrationResult,
    known: Option<&IntegrationResult>,
    status: &IntegrationTargetStatus,
    reach_before: Phase,
) -> PhaseChange {
    let recorded = status.history.iter().find(|entry| entry.integration.as_ref() == Some(&tool.name));
    let from = match (known, recorded) {
        (Some(known), _) => known.phase.clone(),
        (None, Some(recorded)) if reach_before != Phase::Running => recorded.to.clone(),
        // It was healthy for as long as the history goes back.
        (None, None) if reach_before != Phase::Initializing && !is_warning(&tool.phase) => tool.phase.clone(),
        (None, None) if !matches!(reach_before, Phase::Running | Phase::Initializing) => {
            Phase::Unknown.as_str().to_owned()
        }
        (None, _) => Phase::Initializing.as_str().to_owned(),
    };
    PhaseChange {
        integration: Some(tool.name.clone()),
        from,
        to: tool.phase.clone(),
        reason: tool.reason.clone(),
        message: tool.message.clone().unwrap_or_default(),
        since: known.and_then(|known| known.last_transition_time.as_ref()?.parse().ok()),
    }
}

/// Returns the phase of the cluster itself, regardless of its tools.
fn reach(status: &IntegrationTargetStatus) -> Phase {
    let Some(reachable) = status.condition("Reachable") else { return Phase::Initializing };
    match (reachable.status.as_str(), Reason::parse(&reachable.reason)) {
        ("True", _) => Phase::Running,
        ("False", _) => Phase::Failed,
        (_, Some(Reason::Paused)) => Phase::Paused,
        (_, Some(Reason::Stale)) => Phase::Unknown,
        _ => Phase::Initializing,
    }
}

/// Prepends the changes to a history.
pub fn record(history: &mut Vec<TransitionRecord>, changes: &[PhaseChange], now: Timestamp) {
    for change in changes {
        if reverts_unwritten(history, change, now) {
            history.remove(0);
            continue;
        }
        let PhaseChange { integration, from, to, reason, .. } = change.clone();
        let time = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string();
        history.insert(0, TransitionRecord { time, integration, from, to, reason });
    }
    history.truncate(MAX_HISTORY);
}

/// Whether `change` reverts the newest entry, which is still unwritten because another status was written just before.
fn reverts_unwritten(history: &[TransitionRecord], change: &PhaseChange, now: Timestamp) -> bool {
    let Some(newest) = history.first() else { return false };
    let is_opposite = newest.integration == change.integration && newest.from == change.to && newest.to == change.from;
    // Entries with the same time belong to one status.
    let before = history.iter().find(|entry| entry.time != newest.time);
    let written = before.and_then(|before| before.time.parse::<Timestamp>().ok());
    is_opposite && written.is_some_and(|written| now.duration_since(written).unsigned_abs() < WRITE_INTERVAL)
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
