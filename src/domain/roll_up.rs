//! Derives the phase of an Integration, with its reason and message, from the states of its clusters.
//!
//! ```text
//! 2 of 400 broken: quito: istiod is absent (and 1 more); 120 unreachable (ConnectFailed 118, Unauthorized 2)
//! ```
//!
//! Broken tools come first, however many clusters are unreachable.

use std::collections::BTreeMap;
use std::fmt;

use super::aggregate::{Cluster, ClusterState, Counts};
use super::reason::Reason;
use super::verdict::Phase;

/// Upper bound of causes of unreachable clusters in the message, the most frequent first.
const NAMED_CAUSES: usize = 3;

/// How many clusters may be unhealthy before the Integration is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxUnhealthy {
    Number(u32),
    /// A share of the counting clusters, rounded down.
    Percent(u32),
}

impl Default for MaxUnhealthy {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl MaxUnhealthy {
    /// Parses a number of at least 0, or a percentage from `0%` to `100%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().filter(|percent| *percent <= 100).map(Self::Percent),
            None => text.parse().ok().map(Self::Number),
        }
    }

    fn of(self, clusters: u32) -> u32 {
        match self {
            Self::Number(number) => number,
            Self::Percent(percent) => u32::try_from(u64::from(clusters) * u64::from(percent) / 100).unwrap_or(clusters),
        }
    }
}

impl fmt::Display for MaxUnhealthy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

/// `causes`: number of unreachable clusters by reason. `listed`: the worst clusters, worst first.
pub(super) fn roll_up(
    counts: &Counts,
    causes: &BTreeMap<Reason, u32>,
    listed: &[Cluster<'_>],
    max_unhealthy: MaxUnhealthy,
) -> (Phase, Reason, String) {
    let healthy = || format!("{}/{} clusters healthy", counts.running, counts.counting());
    if counts.unhealthy() > 0 {
        let message = message(counts, causes, listed);
        if counts.unhealthy() <= max_unhealthy.of(counts.counting()) {
            let within = format!("{message}; maxUnhealthy is {max_unhealthy}");
            return (Phase::Degraded, Reason::WithinMaxUnhealthy, within);
        }
        let all_unreachable = counts.unreachable == counts.unhealthy();
        let reason = if all_unreachable { Reason::TargetsUnreachable } else { Reason::TargetsFailing };
        return (Phase::Failed, reason, message);
    }
    if counts.degraded > 0 {
        return (Phase::Degraded, Reason::TargetsDegraded, message(counts, causes, listed));
    }
    if counts.initializing > 0 {
        let waiting = format!("{}; {} waiting for their first check", healthy(), counts.initializing);
        return (Phase::Initializing, Reason::Initializing, waiting);
    }
    if counts.total == counts.paused {
        return (Phase::Paused, Reason::Paused, "every cluster is paused".to_owned());
    }
    let mut message = healthy();
    for (clusters, are) in [(counts.not_installed, "without the tool"), (counts.paused, "paused")] {
        if clusters > 0 {
            message.push_str(&format!("; {clusters} {are}"));
        }
    }
    (Phase::Running, Reason::Healthy, message)
}

fn message(counts: &Counts, causes: &BTreeMap<Reason, u32>, listed: &[Cluster<'_>]) -> String {
    let first = |state| listed.iter().find(|cluster| cluster.state == state);
    let example = |state, clusters: u32| {
        let Some(first) = first(state) else { return String::new() };
        let more = if clusters > 1 { format!(" (and {} more)", clusters - 1) } else { String::new() };
        format!(": {}: {}{more}", first.name, first.message)
    };
    let mut parts = Vec::new();
    for (clusters, are, state) in [
        (counts.failed, "broken", ClusterState::Failed),
        (counts.unreachable, "unreachable", ClusterState::Unreachable),
        (counts.unknown, "unknown", ClusterState::Unknown),
        (counts.degraded, "degraded", ClusterState::Degraded),
    ] {
        if clusters == 0 {
            continue;
        }
        let of = if parts.is_empty() { format!(" of {}", counts.counting()) } else { String::new() };
        let why = match state {
            ClusterState::Unreachable => why_unreachable(causes, first(state).filter(|_| clusters == 1)),
            _ => example(state, clusters),
        };
        parts.push(format!("{clusters}{of} {are}{why}"));
    }
    parts.join("; ")
}

fn why_unreachable(causes: &BTreeMap<Reason, u32>, only: Option<&Cluster<'_>>) -> String {
    let mut causes: Vec<_> = causes.iter().collect();
    causes.sort_by_key(|(_, clusters)| std::cmp::Reverse(**clusters));
    let more = if causes.len() > NAMED_CAUSES { ", …" } else { "" };
    let named: Vec<String> = match causes.as_slice() {
        [(cause, _)] => vec![cause.to_string()],
        several => several.iter().take(NAMED_CAUSES).map(|(cause, clusters)| format!("{cause} {clusters}")).collect(),
    };
    let name = only.map(|cluster| format!(": {}", cluster.name)).unwrap_or_default();
    format!("{name} ({}{more})", named.join(", "))
}

#[cfg(test)]
#[path = "roll_up_tests.rs"]
mod tests;
