//! Causes, and the facts of which they consist.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Clusters that a message names at most.
const NAMED: usize = 10;

/// One fault of one tool, on however many clusters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// Name of the Integration; `None` for clusters that can't be read at all.
    pub integration: Option<String>,
    /// Phase of the tool, or of the cluster.
    pub phase: Phase,
    /// Reason of the phase.
    pub reason: Reason,
}

/// One fault on one cluster.
#[derive(Clone, Debug)]
pub struct Fact<'a> {
    /// The tool; `None` for a cluster that can't be read at all.
    pub tool: Option<Tool<'a>>,
    /// The tools that are checked on the cluster.
    pub tools: &'a [Tool<'a>],
    /// Name of the cluster.
    pub cluster: &'a str,
    /// Labels of the target.
    pub labels: &'a BTreeMap<String, String>,
    /// Phase of the tool, or of the cluster.
    pub phase: Phase,
    /// Reason of the phase.
    pub reason: Reason,
    /// Start of the phase.
    pub since: Timestamp,
    /// A maintenance window covers it.
    pub silenced: bool,
}

/// An Integration, as a Notifier selects it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool<'a> {
    /// Name of the Integration.
    pub name: &'a str,
    /// Its type, such as `argocd`.
    pub type_name: &'a str,
}

/// The clusters that have a cause now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Type of the Integration; `None` without one.
    pub(super) type_name: Option<String>,
    /// Clusters outside of maintenance.
    pub(super) clusters: u32,
    /// The first of them by name.
    pub(super) names: BTreeSet<String>,
    /// Clusters in maintenance.
    pub(super) silenced: u32,
    /// Start of the first one outside of maintenance.
    pub(super) since: Option<Timestamp>,
}

impl Tally {
    pub(super) fn add(&mut self, fact: &Fact<'_>) {
        if self.type_name.is_none() {
            self.type_name = fact.tool.map(|tool| tool.type_name.to_owned());
        }
        if fact.silenced {
            self.silenced += 1;
            return;
        }
        self.clusters += 1;
        self.since = Some(self.since.map_or(fact.since, |since| since.min(fact.since)));
        let is_among_first =
            self.names.len() < NAMED || self.names.last().is_some_and(|last| fact.cluster < last.as_str());
        if is_among_first {
            self.names.insert(fact.cluster.to_owned());
            if self.names.len() > NAMED {
                self.names.pop_last();
            }
        }
    }

    /// Whether one of its clusters has had it for this long.
    pub(super) fn is_older_than(&self, after: Duration, now: Timestamp) -> bool {
        self.since.is_some_and(|since| now.duration_since(since).unsigned_abs() >= after && since <= now)
    }
}
