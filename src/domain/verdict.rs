//! What is said of a tool on a cluster, and of a cluster.
//!
//! ```text
//! snapshot ─ evaluate ─> ToolVerdict ─┐
//!                                     ├─ History::conclude ─> TargetVerdict
//! failure of the whole round ─────────┘   (keeps transient faults back until the threshold)
//! ```

use std::sync::Arc;

use crate::domain::component::SeenKind;
use crate::domain::keys::IntegrationKey;
use crate::domain::reason::{Failure, Reason};
use crate::domain::word::Word;

/// The state that a status shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    Failed,
    Unknown,
    /// One of another version.
    Other(Word),
    /// It works, and something needs attention.
    Degraded,
    Initializing,
    Paused,
    NotInstalled,
    Running,
}

impl Phase {
    /// Those of this version, worst first.
    pub const ALL: [Phase; 7] = [
        Self::Failed,
        Self::Unknown,
        Self::Degraded,
        Self::Initializing,
        Self::Paused,
        Self::NotInstalled,
        Self::Running,
    ];

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

    /// As a report or a status has it: that of another version too. `None` for what is no name.
    pub fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|phase| phase.as_str() == text);
        known.or_else(|| Word::of(text).map(Self::Other))
    }

    /// To be told of: something is broken, or nobody can tell.
    pub fn is_bad(self) -> bool {
        self.is_healthy() == Some(false)
    }

    /// None: neither healthy nor not. A phase that another version alone knows is not healthy.
    pub fn is_healthy(self) -> Option<bool> {
        match self {
            Self::Running | Self::Degraded => Some(true),
            Self::Failed | Self::Unknown | Self::Other(_) => Some(false),
            Self::Paused | Self::Initializing | Self::NotInstalled => None,
        }
    }

    /// Counts towards "healthy of all".
    pub fn counts(self) -> bool {
        !matches!(self, Self::Paused | Self::NotInstalled)
    }
}

/// What was seen of one component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    pub kind: SeenKind,
    pub namespace: String,
    /// Name of the object; of the component where none was found.
    pub name: String,
    pub state: ComponentState,
    /// Pods or endpoints that are ready, and Pods that are wanted, where that is known.
    pub ready: Option<u32>,
    pub desired: Option<u32>,
    /// A note for a person, where there is more to say than the state.
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ComponentState {
    Healthy,
    /// Healthy; a roll is under way, or some replicas are missing.
    Progressing,
    NotReady,
    Absent,
    /// Optional, and scaled to zero. Nothing is said of an optional one that is absent.
    NotInUse,
    /// Forbidden to look at.
    NotSeen,
    /// One of another version.
    Other(Word),
}

impl ComponentState {
    pub const ALL: [Self; 6] =
        [Self::Healthy, Self::Progressing, Self::NotReady, Self::Absent, Self::NotInUse, Self::NotSeen];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "Healthy",
            Self::Progressing => "Progressing",
            Self::NotReady => "NotReady",
            Self::Absent => "Absent",
            Self::NotInUse => "NotInUse",
            Self::NotSeen => "NotSeen",
            Self::Other(word) => word.as_str(),
        }
    }

    /// As a report or a status has it: that of another version too. `None` for what is no name.
    pub fn read(text: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|state| state.as_str() == text);
        known.or_else(|| Word::of(text).map(Self::Other))
    }

    pub fn is_healthy(self) -> bool {
        matches!(self, Self::Healthy | Self::Progressing)
    }
}

/// What is said of one tool on one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolVerdict {
    pub phase: Phase,
    pub reason: Reason,
    pub message: String,
    pub observations: Vec<Observation>,
}

impl ToolVerdict {
    pub fn without_observations(phase: Phase, reason: Reason, message: impl Into<String>) -> Self {
        Self { phase, reason, message: message.into(), observations: Vec::new() }
    }
}

/// What is said of one cluster and everything on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetVerdict {
    pub reach: Reach,
    pub tools: Vec<(IntegrationKey, ToolVerdict)>,
}

/// Whether ksit can read the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing is concluded yet.
    Initializing,
    Connected,
    /// Permanent, or transient for as many rounds as the threshold says.
    Failed(Failure),
    Paused,
    /// Nobody has reported for three intervals.
    Stale,
}

impl TargetVerdict {
    pub fn phase(&self) -> Phase {
        match self.reach {
            Reach::Initializing => Phase::Initializing,
            Reach::Failed(_) => Phase::Failed,
            Reach::Paused => Phase::Paused,
            Reach::Stale => Phase::Unknown,
            Reach::Connected => self.worst_tool().map_or(Phase::Running, |(_, tool)| tool.phase),
        }
    }

    /// Of the tools that count, the first with the worst phase.
    pub fn worst_tool(&self) -> Option<&(IntegrationKey, ToolVerdict)> {
        self.tools.iter().filter(|(_, tool)| tool.phase.counts()).min_by_key(|(_, tool)| tool.phase)
    }
}

/// How one round of one target ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Read(Vec<(IntegrationKey, ToolVerdict)>),
    Failed(Failure),
}

/// What is remembered of a target between rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Rounds in a row that failed for a transient cause.
    pub failures: u32,
    last: Option<Arc<TargetVerdict>>,
    /// The last transient cause, and how many rounds in a row it was the same.
    cause: Option<(Failure, u32)>,
}

impl History {
    /// Of a target that another replica looked after: it ended with `last`.
    pub fn after(last: TargetVerdict, threshold: u32) -> Self {
        let given_up = |failure: &Failure| matches!(failure.reason, Reason::Unreachable | Reason::Quarantined);
        let failures = if matches!(&last.reach, Reach::Failed(failure) if given_up(failure)) { threshold } else { 0 };
        Self { failures, last: Some(Arc::new(last)), cause: None }
    }

    /// The verdict after one more round: the very same as before if it says the same. `tools` are the integrations that
    /// concern the target now: each gets a verdict, whatever happened.
    pub fn conclude(&mut self, tools: &[IntegrationKey], outcome: Outcome, threshold: u32) -> Arc<TargetVerdict> {
        let verdict = match outcome {
            Outcome::Read(tools) => {
                self.failures = 0;
                TargetVerdict { reach: Reach::Connected, tools }
            }
            Outcome::Failed(failure) if !failure.reason.is_transient() => {
                // A permanent fault is an answer: the count of transient ones starts anew after it.
                self.failures = 0;
                failed(tools, failure)
            }
            // Not the target's doing: it is as unknown as before.
            Outcome::Failed(failure) if failure.reason.is_of_replica() => self.kept(tools),
            Outcome::Failed(failure) => {
                self.failures = self.failures.saturating_add(1);
                let lasts = self.lasts(&failure);
                if self.failures < threshold {
                    self.kept(tools)
                } else {
                    // One fault may show in several ways in turn: that is no news.
                    let shown = self.unreachable().filter(|_| lasts < threshold);
                    failed(tools, shown.cloned().unwrap_or_else(|| unreachable(&failure)))
                }
            }
        };
        match &self.last {
            Some(last) if **last == verdict => last.clone(),
            _ => self.last.insert(Arc::new(verdict)).clone(),
        }
    }

    /// For how many rounds in a row it is this cause.
    fn lasts(&mut self, cause: &Failure) -> u32 {
        let former = self.cause.take().filter(|(former, _)| former == cause);
        let rounds = former.map_or(1, |(_, rounds)| rounds.saturating_add(1));
        self.cause = Some((cause.clone(), rounds));
        rounds
    }

    /// The verdict of the last round, if that was that the target is unreachable.
    fn unreachable(&self) -> Option<&Failure> {
        match &self.last.as_ref()?.reach {
            Reach::Failed(failure) if failure.reason == Reason::Unreachable => Some(failure),
            _ => None,
        }
    }

    /// What was concluded last.
    pub fn last(&self) -> Option<Arc<TargetVerdict>> {
        self.last.clone()
    }

    /// The former verdict, with a place for tools that came since.
    fn kept(&self, tools: &[IntegrationKey]) -> TargetVerdict {
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

/// The verdict of a tool that nobody has looked at yet.
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

/// The cause stays in the message; the count does not, or every further round would mean something new.
fn unreachable(cause: &Failure) -> Failure {
    Failure::new(Reason::Unreachable, format!("unreachable: {} ({})", cause.message, cause.reason))
}

/// Why a cluster can't be read: for [`Reason::Unreachable`] the cause that its message ends with.
pub fn cause_of_failure(reason: Reason, message: &str) -> Reason {
    let cause = message.strip_suffix(')').and_then(|message| message.rsplit_once(" (")).map(|(_, cause)| cause);
    let cause = cause.filter(|_| reason == Reason::Unreachable).and_then(Reason::parse);
    cause.unwrap_or(reason)
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
