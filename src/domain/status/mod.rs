//! The status of a target, as users read it and as the next coordinator takes it over.
//!
//! ```text
//! report ─ render ─> TargetStatus ─ stamp (times, history, writer) ─> hub
//! hub ──────────────> TargetStatus ─ digest ─> compared with the next report
//! ```
//!
//! `api::convert` maps these types to the stored JSON field by field.

mod component;
mod integration;
mod read_back;
mod render;
mod stamp;
mod text;
mod transitions;

use std::borrow::Cow;

use jiff::Timestamp;

pub use component::{ComponentLine, observations};
pub use integration::{ClusterLine, IntegrationStatus};
#[cfg(test)]
pub(crate) use render::RENDERED;
pub use render::{report_digest, target_status};
pub use stamp::Writer;
pub use transitions::{PhaseChange, TransitionRecord, phase_changes, record};

use super::digest::Digest;
use super::keys::{IntegrationKey, TargetKey};
use super::maintenance::Maintenance;
use super::managed::{Counts, FailingObject, ResourceSummary};
use super::reason::Reason;
use super::replica::{Epoch, ReplicaName, Term};
use super::verdict::{Phase, cause_of_failure, initializing};

/// Condition of a target: whether changes arrive by watches.
pub const WATCHED: &str = "Watched";

/// The condition of a target whose credential is about to expire.
pub const CREDENTIAL_EXPIRING: &str = "CredentialExpiring";

/// The condition that says whether the cluster can be read.
pub const REACHABLE: &str = "Reachable";

/// The condition that tools such as `kubectl wait`, Flux and Argo CD read as health.
pub const READY: &str = "Ready";

/// Status of an IntegrationTarget. An absent or unreadable field is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetStatus {
    /// Worst phase of its tools, or that of the connection.
    pub phase: Option<Phase>,
    /// Whether the cluster can be read, as in the Go toolkit.
    pub ready: Option<bool>,
    /// Healthy tools of those that count, such as `4/5`.
    pub healthy: Option<String>,
    /// The first 80 characters of the message.
    pub message: Option<String>,
    /// `Ready`, `Reachable` and `Watched`, and `CredentialExpiring` while it is.
    pub conditions: Vec<Condition>,
    /// Worst first.
    pub tools: Vec<ToolStatus>,
    /// Number of components left out so that the status fits.
    pub components_omitted: Option<u32>,
    /// Host and port that is dialled.
    pub server: Option<String>,
    /// Generation of the spec that it is about.
    pub generation: Option<i64>,
    /// Time of the last phase change.
    pub since: Option<Timestamp>,
    /// The maintenance window that covers it.
    pub maintenance: Option<Maintenance>,
    /// Newest first.
    pub history: Vec<TransitionRecord>,
    /// Time of the last write.
    pub synced_at: Option<Timestamp>,
    /// resourceVersion of the kubeconfig Secret that was used.
    pub secret_version: Option<String>,
    /// Term of the coordinator that wrote it.
    pub term: Option<Term>,
    /// Installation that owns the object, as `namespace/name`.
    pub managed_by: Option<String>,
    /// Replica that checked the target.
    pub reported_by: Option<ReplicaName>,
    /// Epoch of the map by which that replica owned the target.
    pub report_epoch: Option<Epoch>,
}

/// A Kubernetes condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Type of the condition, such as `Ready`.
    pub kind: String,
    /// Its status.
    pub truth: Truth,
    /// Its reason; `None` if that is not a name.
    pub reason: Option<Reason>,
    /// A sentence for people.
    pub message: String,
    /// Time of the last change of `truth`.
    pub since: Timestamp,
    /// Generation of the spec that it is about.
    pub generation: Option<i64>,
}

/// Status of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It holds.
    True,
    /// It doesn't hold.
    False,
    /// It is not known.
    Unknown,
}

/// One tool on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolStatus {
    /// Name of the Integration.
    pub name: String,
    /// Type of the Integration, such as `argocd`.
    pub type_name: String,
    /// Verdict on the tool.
    pub phase: Option<Phase>,
    /// Reason of the phase.
    pub reason: Option<Reason>,
    /// Cause and remedy, or a summary of its components.
    pub message: String,
    /// The newest version that runs.
    pub version: Option<String>,
    /// Time of the last phase change.
    pub since: Option<Timestamp>,
    /// Components that need more than a few words, unhealthy ones first.
    pub components: Vec<ComponentLine>,
    /// Healthy components, each in a few words.
    pub healthy_components: Vec<String>,
    /// Objects that the tool manages, by kind.
    pub resources: Vec<ResourceSummary>,
}

impl Truth {
    /// The status as Kubernetes spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// `None` for a text that is no status of a condition.
    pub fn read(text: &str) -> Option<Self> {
        [Self::True, Self::False, Self::Unknown].into_iter().find(|truth| truth.as_str() == text)
    }

    /// Health of a phase as the condition `Ready` shows it.
    fn of_health(phase: Phase) -> Self {
        match phase.is_healthy() {
            Some(true) => Self::True,
            Some(false) if phase == Phase::Failed => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl TargetStatus {
    /// The condition of this type.
    pub fn condition(&self, kind: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.kind == kind)
    }

    /// Verdict on one tool. A tool that the status doesn't list has that of an unreachable cluster, or is Initializing.
    pub fn tool<'a>(status: Option<&'a Self>, integration: &IntegrationKey) -> (Phase, Reason, Cow<'a, str>) {
        let listed = status.and_then(|status| status.tools.iter().find(|tool| tool.name == integration.name()));
        let listed = listed.and_then(|tool| Some((tool.phase?, tool.reason?, Cow::Borrowed(tool.message.as_str()))));
        let unreachable = || status?.unreachable().map(|(reason, text)| (Phase::Failed, reason, Cow::Borrowed(text)));
        listed.or_else(unreachable).unwrap_or_else(|| {
            let tool = initializing();
            (tool.phase, tool.reason, Cow::Owned(tool.message))
        })
    }

    /// The tool of an Integration, if the status lists it.
    pub fn listed_tool(&self, integration: &IntegrationKey) -> Option<&ToolStatus> {
        self.tools.iter().find(|tool| tool.name == integration.name())
    }

    /// Cause for which ksit can't read the cluster. `None` if it can, or if that is not known.
    pub fn unreachable_cause(&self) -> Option<Reason> {
        self.unreachable().map(|(reason, message)| cause_of_failure(reason, message))
    }

    /// Reason and message of the condition `Reachable` while it is False.
    fn unreachable(&self) -> Option<(Reason, &str)> {
        let reachable = self.condition(REACHABLE).filter(|condition| condition.truth == Truth::False)?;
        Some((reachable.reason?, &reachable.message))
    }

    /// The status without its components, which are most of its size.
    pub fn without_components(&self) -> Self {
        let tool = |tool: &ToolStatus| ToolStatus {
            name: tool.name.clone(),
            type_name: tool.type_name.clone(),
            phase: tool.phase,
            reason: tool.reason,
            message: tool.message.clone(),
            version: tool.version.clone(),
            since: tool.since,
            components: Vec::new(),
            healthy_components: Vec::new(),
            resources: tool.resources.iter().map(ResourceSummary::without_names).collect(),
        };
        Self {
            tools: self.tools.iter().map(tool).collect(),
            conditions: self.conditions.clone(),
            history: self.history.clone(),
            maintenance: self.maintenance.clone(),
            healthy: self.healthy.clone(),
            message: self.message.clone(),
            server: self.server.clone(),
            secret_version: self.secret_version.clone(),
            managed_by: self.managed_by.clone(),
            reported_by: self.reported_by.clone(),
            ..*self
        }
    }

    /// Digest of everything that a user reads and its worker knows: not of the maintenance. Times, history and writer
    /// don't count; `observedGeneration` does, because tools wait for it after an edit.
    pub fn digest(&self, target: &TargetKey) -> Digest {
        let Self {
            phase,
            ready,
            healthy,
            message,
            conditions,
            tools,
            components_omitted,
            server,
            generation,
            since: _,
            maintenance: _,
            history: _,
            synced_at: _,
            secret_version: _,
            term: _,
            managed_by: _,
            reported_by: _,
            report_epoch: _,
        } = self;
        let mut fields = Fields::default();
        fields.add(phase.map(Phase::as_str)).add(ready.map(|ready| ready.to_string())).add(healthy.as_deref());
        fields.add(message.as_deref()).add(components_omitted.map(|omitted| omitted.to_string()));
        fields.add(server.as_deref()).add(generation.map(|generation| generation.to_string()));
        fields.add_conditions(conditions);
        for tool in tools {
            fields.add(Some("tool")).add(Some(tool.name.as_str())).add(Some(tool.type_name.as_str()));
            fields
                .add(tool.phase.map(Phase::as_str))
                .add(tool.reason.map(Reason::as_str))
                .add(Some(tool.message.as_str()));
            // Added only where there is one, as versions of ksit without it don't add it.
            if let Some(version) = &tool.version {
                fields.add(Some("version")).add(Some(version));
            }
            for component in &tool.components {
                component.add_to(&mut fields);
            }
            for words in &tool.healthy_components {
                fields.add(Some(words));
            }
            for summary in &tool.resources {
                add_resources(&mut fields, summary);
            }
        }
        Digest::of(target, fields.0.iter().map(String::as_str))
    }
}

fn add_resources(fields: &mut Fields, summary: &ResourceSummary) {
    let ResourceSummary { kind, counts, message } = summary;
    let Counts { total, progressing, suspended, failing, unknown, worst } = counts;
    fields.add(Some("resources")).add(Some(kind.as_str())).add(message.as_deref());
    for count in [total, progressing, suspended, failing, unknown] {
        fields.add(Some(count.to_string()));
    }
    for FailingObject { namespace, name, reason, since: _ } in worst {
        fields.add(Some(namespace.as_str())).add(Some(name.as_str())).add(reason.as_deref());
    }
}

/// Fields of a status for its digest, in a fixed order.
#[derive(Default)]
struct Fields(Vec<String>);

impl Fields {
    /// An absent field differs from an empty one.
    fn add(&mut self, field: Option<impl AsRef<str>>) -> &mut Self {
        self.0.push(field.map_or_else(String::new, |field| format!("={}", field.as_ref())));
        self
    }

    fn add_conditions(&mut self, conditions: &[Condition]) {
        for Condition { kind, truth, reason, message, since: _, generation } in conditions {
            self.add(Some("condition")).add(Some(kind.as_str())).add(Some(truth.as_str()));
            self.add(reason.map(Reason::as_str)).add(Some(message.as_str()));
            self.add(generation.map(|generation| generation.to_string()));
        }
    }
}
