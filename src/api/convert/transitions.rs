//! Transitions between two statuses of a target. Each is a line of the coordinator's log, an Event, and an entry of the
//! history.
//!
//! ```text
//! cluster: Running ─> Failed        it can't be read any more; its tools follow, which is no transition of theirs
//! tool:    Running ─> Degraded ─> Failed ─> Running, while the cluster can be read
//! ```

use std::time::Duration;

use jiff::Timestamp;

use crate::api::{IntegrationResult, IntegrationTargetStatus, TransitionRecord};
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Entries of a history at most.
const KEPT: usize = 20;

/// The status of an object is written once in so much time. A transition that is taken back before is none.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// One transition of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseChange {
    /// Name of the Integration; none for the cluster itself.
    pub integration: Option<String>,
    pub from: String,
    pub to: String,
    pub reason: String,
    pub message: String,
    /// When it had become what it was; none where that is not known.
    pub since: Option<Timestamp>,
}

impl PhaseChange {
    /// Something is wrong now, or needs attention.
    pub fn is_warning(&self) -> bool {
        is_warning(&self.to)
    }

    /// Whether there is something to tell. A cluster or tool that is found healthy at first is no news.
    fn is_news(&self) -> bool {
        let is_initial = |phase: &str| phase == Phase::Initializing.as_str();
        self.from != self.to && !is_initial(&self.to) && (!is_initial(&self.from) || self.is_warning())
    }
}

/// A phase that only a newer version knows is nothing to be silent about.
fn is_warning(phase: &str) -> bool {
    Phase::read(phase).is_none_or(|phase| phase.is_bad() || phase == Phase::Degraded)
}

/// From `former` to `status`, which has the history of the former one.
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

/// `known`: as it was, where the cluster could be read before.
fn change_of_tool(
    tool: &IntegrationResult,
    known: Option<&IntegrationResult>,
    status: &IntegrationTargetStatus,
    reach_before: Phase,
) -> PhaseChange {
    let told = status.history.iter().find(|entry| entry.integration.as_ref() == Some(&tool.name));
    let from = match (known, told) {
        (Some(known), _) => known.phase.clone(),
        (None, Some(told)) if reach_before != Phase::Running => told.to.clone(),
        // Nothing was ever wrong with it, as far as the history goes back.
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

/// The phase of the cluster itself, whatever its tools are.
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

/// Puts the changes on top of a history.
pub fn record(history: &mut Vec<TransitionRecord>, changes: &[PhaseChange], now: Timestamp) {
    for change in changes {
        if takes_back_unwritten(history, change, now) {
            history.remove(0);
            continue;
        }
        let PhaseChange { integration, from, to, reason, .. } = change.clone();
        let time = Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now).to_string();
        history.insert(0, TransitionRecord { time, integration, from, to, reason });
    }
    history.truncate(KEPT);
}

/// Whether the newest entry is the opposite, and waits to be written because another status was written just before.
fn takes_back_unwritten(history: &[TransitionRecord], change: &PhaseChange, now: Timestamp) -> bool {
    let Some(newest) = history.first() else { return false };
    let is_opposite = newest.integration == change.integration && newest.from == change.to && newest.to == change.from;
    // Entries of one time are those of one status.
    let before = history.iter().find(|entry| entry.time != newest.time);
    let written = before.and_then(|before| before.time.parse::<Timestamp>().ok());
    is_opposite && written.is_some_and(|written| now.duration_since(written).unsigned_abs() < UNWRITTEN)
}

#[cfg(test)]
#[path = "transitions_tests.rs"]
mod tests;
