//! The part of a status that is history.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{IntegrationTarget, MaintenanceStatus, TransitionRecord};

/// The changes of a cluster and its tools, as a status has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Namespace of the IntegrationTarget.
    pub namespace: String,
    /// Name of the IntegrationTarget.
    pub cluster: String,
    pub(super) series: Vec<Seen>,
    /// The status has as many changes as fit, so that earlier ones may be gone.
    pub(super) is_full: bool,
}

/// One tool, or the cluster itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Name of the Integration; empty for the cluster.
    pub integration: String,
    /// Its type; empty for the cluster.
    pub type_: String,
    /// The phase now, and since when.
    pub now: Change,
    /// Its changes in the status, oldest first.
    pub changes: Vec<Change>,
    /// End of the maintenance window that covers it, in Unix milliseconds.
    pub maintenance: Option<i64>,
}

/// A change of a phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Unix milliseconds as the status has them.
    pub stamp: i64,
    /// The phase before; `None` if it is not known.
    pub from: Option<String>,
    /// The phase since.
    pub to: String,
    pub reason: String,
}

/// Changes that a status has at most.
const MAX_CHANGES: usize = 20;

impl Observation {
    /// Reads a status; `None` while there is none.
    pub fn of(target: &IntegrationTarget) -> Option<Self> {
        let status = target.status.as_ref()?;
        let of = |integration: &str| {
            let is_meant =
                |record: &&TransitionRecord| record.integration.as_deref().unwrap_or_default() == integration;
            status.history.iter().filter(is_meant).filter_map(change).collect()
        };
        let seen = |integration: &str, type_: &str, phase: &str, reason: &str, since: Option<&String>| {
            let (to, reason) = (phase.to_owned(), reason.to_owned());
            Some(Seen {
                integration: integration.to_owned(),
                type_: type_.to_owned(),
                now: Change { stamp: millis(since?)?, from: None, to, reason },
                changes: of(integration),
                maintenance: window_end(status.maintenance.as_ref(), integration),
            })
        };
        let ready = status.condition("Ready").map(|condition| condition.reason.as_str()).unwrap_or_default();
        let cluster = seen("", "", status.phase.as_deref()?, ready, status.last_transition_time.as_ref());
        let tools = status
            .integrations
            .iter()
            .map(|tool| seen(&tool.name, &tool.type_, &tool.phase, &tool.reason, tool.last_transition_time.as_ref()));
        Some(Self {
            namespace: target.namespace().unwrap_or_default(),
            cluster: target.name_any(),
            series: std::iter::once(cluster).chain(tools).flatten().collect(),
            is_full: status.history.len() >= MAX_CHANGES,
        })
    }
}

/// The end of the window, if it covers the Integration or, with an empty name, the cluster itself.
fn window_end(window: Option<&MaintenanceStatus>, integration: &str) -> Option<i64> {
    let covers = |window: &&MaintenanceStatus| {
        window.integrations.is_empty() || window.integrations.iter().any(|name| name == integration)
    };
    window.filter(covers).and_then(|window| millis(&window.until))
}

fn change(record: &TransitionRecord) -> Option<Change> {
    let TransitionRecord { time, from, to, reason, .. } = record;
    Some(Change { stamp: millis(time)?, from: Some(from.clone()), to: to.clone(), reason: reason.clone() })
}

fn millis(time: &str) -> Option<i64> {
    Some(time.parse::<Timestamp>().ok()?.as_millisecond())
}
