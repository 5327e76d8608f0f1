//! Verdicts on a tool on a cluster, and on a cluster.
//!
//! ```text
//! snapshot ─ evaluate ─> ToolVerdict ─┐
//!                                     ├─ History::conclude ─> TargetVerdict
//! failure of the whole round ─────────┘   (withholds transient faults up to the threshold)
//! ```

use std::sync::Arc;

use jiff::Timestamp;

use crate::domain::check_mode::CheckMode;
use crate::domain::component::SeenKind;
use crate::domain::keys::IntegrationKey;
use crate::domain::managed::ResourceSummary;
use crate::domain::reason::{Failure, Reason};
use crate::domain::word::Word;

/// The phase in a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Broken, or the cluster can't be read.
    Failed,
    /// Nobody has looked for too long.
    Unknown,
    /// A phase of another ksit version.
    Other(Word),
    /// It works, but something needs attention.
    Degraded,
    /// Not checked yet.
    Initializing,
    /// Not checked, by the user's choice.
    Paused,
    /// The cluster lacks the tool, which the user allows.
    NotInstalled,
    /// Everything required is there and works.
    Running,
}

impl Phase {
    /// The phases of this version, worst first.
    pub const ALL: [Phase; 7] = [
        Self::Failed,
        Self::Unknown,
        Self::Degraded,
        Self::Initializing,
        Self::Paused,
        Self::NotInstalled,
        Self::Running,
    ];

    /// The phase as statuses spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Unknown => "Unknown",
            Self::Degraded => "Degraded",
            Self::Initializing => "Initializing",
            Self::Paused => "Paused",
            Self::NotInstalled => "NotInstalled",
            Self::Running => "Running",
            Self::Other(word) => word.as_str(),
        }
    }

    /// Parses a report's or status's spelling, including phases of other versions. `None` if it is not a name.
    pub fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|phase| phase.as_str() == text);
        known.or_else(|| Word::of(text).map(Self::Other))
    }

    /// Whether to alert: something is broken, or its state is unknown.
    pub fn is_bad(self) -> bool {
        self.is_healthy() == Some(false)
    }

    /// `None`: neither healthy nor unhealthy. A phase of another version counts as unhealthy.
    pub fn is_healthy(self) -> Option<bool> {
        match self {
            Self::Running | Self::Degraded => Some(true),
            Self::Failed | Self::Unknown | Self::Other(_) => Some(false),
            Self::Paused | Self::Initializing | Self::NotInstalled => None,
        }
    }

    /// Whether it counts in "healthy/all".
    pub fn counts(self) -> bool {
        !matches!(self, Self::Paused | Self::NotInstalled)
    }
}

/// The observed state of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Kind of the object.
    pub kind: SeenKind,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Name of the object, or of the component if none was found.
    pub name: String,
    /// Verdict on the object.
    pub state: ComponentState,
    /// Ready Pods or endpoints, and desired Pods, if known.
    pub ready: Option<u32>,
    /// Desired Pods, if known.
    pub desired: Option<u32>,
    /// Time since which it has not been healthy, to the second; `None` if it is, or if that is not known.
    pub since: Option<Timestamp>,
    /// A message for users, beyond the state.
    pub message: Option<String>,
}

/// The verdict on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentState {
    /// It works.
    Healthy,
    /// It works, but a rollout is in progress or some replicas are missing.
    Progressing,
    /// It works, but something is stuck or about to end.
    Degraded,
    /// It doesn't work.
    NotReady,
    /// No such object exists.
    Absent,
    /// Optional and scaled to zero. An absent optional component has no observation.
    NotInUse,
    /// May not be read (403).
    NotSeen,
    /// A state of another ksit version.
    Other(Word),
}

impl ComponentState {
    /// The states of this version.
    pub const ALL: [Self; 7] =
        [Self::Healthy, Self::Progressing, Self::Degraded, Self::NotReady, Self::Absent, Self::NotInUse, Self::NotSeen];

    /// The state as statuses spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::NotReady => "NotReady",
            Self::Absent => "Absent",
            Self::NotInUse => "NotInUse",
            Self::NotSeen => "NotSeen",
            Self::Other(word) => word.as_str(),
        }
    }

    /// Parses a report's or status's spelling, including states of other versions. `None` if it is not a name.
    pub fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.or_else(|| Word::of(text).map(Self::Other))
    }

    /// Whether it works, with a remark or without.
    pub fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy | Self::Progressing)
    }
}

/// The verdict on one tool on one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolVerdict {
    /// Worst of its components.
    pub phase: Phase,
    /// Reason of the phase.
    pub reason: Reason,
    /// Cause and remedy, or a summary of the components.
    pub message: String,
    /// Objects that were found, and required components that were not.
    pub observations: Vec<Observation>,
    /// The newest version that runs, if it is known.
    pub version: Option<String>,
    /// Objects that the tool manages, by kind.
    pub resources: Vec<ResourceSummary>,
}

impl ToolVerdict {
    /// A verdict that no object led to.
    pub fn without_observations(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into(), observations: Vec::new(), version: None, resources: Vec::new() }
    }
}

/// The verdict on one cluster and its tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetVerdict {
    /// Whether the cluster can be read.
    pub reach: Reach,
    /// One for each Integration that concerns the target.
    pub tools: Vec<(IntegrationKey, ToolVerdict)>,
}

/// Message for [`Reach::Stale`].
pub const STALE_MESSAGE: &str = "nobody has reported for three intervals";

/// Whether ksit can read the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Not checked yet.
    Initializing,
    /// The last round could read it.
    Connected,
    /// A permanent failure, or a transient one that has reached the threshold.
    Failed(Failure),
    /// By `spec.paused`, or until `spec.pausedUntil`.
    Paused,
    /// No report for three intervals.
    Stale,
}

impl TargetVerdict {
    /// Worst phase of its tools, or that of the connection.
    pub fn phase(&self) -> Phase {
        match self.reach {
            Reach::Initializing => Phase::Initializing,
            Reach::Failed(_) => Phase::Failed,
            Reach::Paused => Phase::Paused,
            Reach::Stale => Phase::Unknown,
            Reach::Connected => self.worst_tool().map_or(Phase::Running, |(_, tool)| tool.phase),
        }
    }

    /// The verdict on the tool of an integration.
    pub fn tool(&self, key: &IntegrationKey) -> Option<&ToolVerdict> {
        self.tools.iter().find(|(own, _)| own == key).map(|(_, tool)| tool)
    }

    /// The first tool with the worst phase, among those that count.
    pub fn worst_tool(&self) -> Option<&(IntegrationKey, ToolVerdict)> {
        self.tools.iter().filter(|(_, tool)| tool.phase.counts()).min_by_key(|(_, tool)| tool.phase)
    }
}

/// How one round of one target ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Verdicts on all tools.
    Read(Vec<(IntegrationKey, ToolVerdict)>),
    /// Why the cluster could not be read.
    Failed(Failure),
}

/// The state of a target between rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Consecutive rounds that failed for a transient cause.
    pub failures: u32,
    last: Option<Arc<TargetVerdict>>,
    /// The last transient cause, and its consecutive rounds.
    cause: Option<(Failure, u32)>,
    /// How the target was checked last; for a replica that takes it over, by another.
    pub mode: Option<CheckMode>,
}

impl History {
    /// The history of a target that another replica owned, whose last verdict was `last`.
    pub fn after(last: TargetVerdict, threshold: u32) -> Self {
        let is_past_threshold = |failure: &Failure| matches!(failure.reason, Reason::Unreachable | Reason::Quarantined);
        let failures =
            if matches!(&last.reach, Reach::Failed(failure) if is_past_threshold(failure)) { threshold } else { 0 };
        Self { failures, last: Some(Arc::new(last)), cause: None, mode: None }
    }

    /// The same for a target that was checked in this way.
    pub fn by(self, mode: Option<CheckMode>) -> Self {
        Self { mode, ..self }
    }

    /// Computes the verdict after one more round. Returns the same `Arc` if it is equal to the last one. `tools` are
    /// the integrations that concern the target now: each gets a verdict, whatever the outcome. A shortage of this
    /// replica ([`Reason::is_of_replica`]) is no outcome.
    pub fn conclude(&mut self, tools: &[IntegrationKey], outcome: Outcome, threshold: u32) -> Arc<TargetVerdict> {
        let verdict = match outcome {
            Outcome::Read(tools) => {
                self.failures = 0;
                TargetVerdict { reach: Reach::Connected, tools }
            }
            Outcome::Failed(failure) if !failure.reason.is_transient() => {
                // A permanent fault is an answer, so it resets the count of transient ones.
                self.failures = 0;
                failed(tools, failure)
            }
            Outcome::Failed(failure) => {
                self.failures = self.failures.saturating_add(1);
                let same_cause = self.count_cause(&failure);
                if self.failures < threshold {
                    self.unchanged(tools)
                } else {
                    // One fault may show alternating causes: keep the first until another lasts.
                    let shown = self.unreachable().filter(|_| same_cause < threshold);
                    failed(tools, shown.cloned().unwrap_or_else(|| unreachable(&failure)))
                }
            }
        };
        match &self.last {
            Some(last) if **last == verdict => last.clone(),
            _ => self.last.insert(Arc::new(verdict)).clone(),
        }
    }

    /// Records the cause of a failed round. Returns its number of consecutive rounds.
    fn count_cause(&mut self, cause: &Failure) -> u32 {
        let former = self.cause.take().filter(|(former, _)| former == cause);
        let rounds = former.map_or(1, |(_, rounds)| rounds.saturating_add(1));
        self.cause = Some((cause.clone(), rounds));
        rounds
    }

    /// The failure in the last verdict, if it is [`Reason::Unreachable`].
    fn unreachable(&self) -> Option<&Failure> {
        match &self.last.as_ref()?.reach {
            Reach::Failed(failure) if failure.reason == Reason::Unreachable => Some(failure),
            _ => None,
        }
    }

    /// The last verdict.
    pub fn last(&self) -> Option<Arc<TargetVerdict>> {
        self.last.clone()
    }

    /// The last verdict, extended by tools that were added since.
    fn unchanged(&self, tools: &[IntegrationKey]) -> TargetVerdict {
        let (reach, former) = match &self.last {
            Some(last) => (last.reach.clone(), last.tools.as_slice()),
            None => (Reach::Initializing, [].as_slice()),
        };
        let tools = tools
            .iter()
            .map(|key| {
                let known = former.iter().find(|(former, _)| former == key).map(|(_, tool)| tool.clone());
                (key.clone(), known.unwrap_or_else(initializing))
            })
            .collect();
        TargetVerdict { reach, tools }
    }
}

/// The verdict on a tool that was not checked yet.
pub fn initializing() -> ToolVerdict {
    ToolVerdict::without_observations(Phase::Initializing, Reason::Initializing, "waiting for the first check")
}

fn failed(tools: &[IntegrationKey], failure: Failure) -> TargetVerdict {
    let tools = tools
        .iter()
        .map(|key| {
            let tool = ToolVerdict::without_observations(Phase::Failed, failure.reason, failure.message.clone());
            (key.clone(), tool)
        })
        .collect();
    TargetVerdict { reach: Reach::Failed(failure), tools }
}

/// The message has the cause but not the count, which would change the verdict every round.
fn unreachable(cause: &Failure) -> Failure {
    Failure::new(Reason::Unreachable, format!("unreachable: {} ({})", cause.message, cause.reason))
}

/// The cause of a failure: for [`Reason::Unreachable`] the one at the end of its message.
pub fn cause_of_failure(reason: Reason, message: &str) -> Reason {
    let cause = message.strip_suffix(')').and_then(|message| message.rsplit_once(" (")).map(|(_, cause)| cause);
    let cause = cause.filter(|_| reason == Reason::Unreachable).and_then(Reason::parse);
    cause.unwrap_or(reason)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
