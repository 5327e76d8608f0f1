//! The status of an Integration: its clusters, summed up.

use jiff::Timestamp;

use super::stamp::{Writer, condition_since, phase_since};
use super::text::{brief, cut};
use super::transitions::PhaseChange;
use super::{Condition, Fields, READY, Truth};
use crate::domain::aggregate::{Cluster, Counts, Summary, VersionCount};
use crate::domain::desired::DesiredIntegration;
use crate::domain::digest::meaning;
use crate::domain::escape::escape;
use crate::domain::managed::ResourceSum;
use crate::domain::reason::Reason;
use crate::domain::replica::Term;
use crate::domain::verdict::Phase;

/// Status of an Integration. An absent or unreadable field is `None` or empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IntegrationStatus {
    /// Worst of its clusters, within `maxUnhealthy`.
    pub phase: Option<Phase>,
    /// Healthy clusters of those that count, such as `2997/3000`.
    pub healthy: Option<String>,
    /// The first 80 characters of the message.
    pub message: Option<String>,
    /// `Ready` and `Accepted`.
    pub conditions: Vec<Condition>,
    /// Clusters by state.
    pub counts: Option<Counts>,
    /// Newest first.
    pub versions: Vec<VersionCount>,
    /// Managed objects of all clusters, by kind.
    pub resources: Vec<ResourceSum>,
    /// At most a hundred clusters, worst first.
    pub clusters: Vec<ClusterLine>,
    /// Generation of the spec that it is about.
    pub generation: Option<i64>,
    /// Time of the last phase change.
    pub since: Option<Timestamp>,
    /// Time of the last write.
    pub synced_at: Option<Timestamp>,
    /// Term of the coordinator that wrote it.
    pub term: Option<Term>,
    /// Installation that owns the object, as `namespace/name`.
    pub managed_by: Option<String>,
}

/// One cluster that an Integration lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterLine {
    /// `spec.clusterName` of the target.
    pub name: String,
    /// Name of the IntegrationTarget; `None` for a name that no target has.
    pub target: Option<String>,
    /// Phase of the tool there.
    pub phase: Option<Phase>,
    /// Reason of the phase.
    pub reason: Option<Reason>,
    /// Cause and remedy; `None` while the tool runs.
    pub message: Option<String>,
}

impl IntegrationStatus {
    /// The status that follows `former`.
    pub fn of(integration: &DesiredIntegration, summary: &Summary, former: Option<&Self>, writer: &Writer) -> Self {
        let Summary { phase, reason, message, counts, versions, resources, clusters } = summary;
        let conditions = former.map(|former| former.conditions.as_slice()).unwrap_or_default();
        let condition = |kind: &str, truth, reason, message: &str| Condition {
            kind: kind.to_owned(),
            truth,
            reason: Some(reason),
            message: cut(message),
            since: condition_since(conditions, kind, truth, writer.now),
            generation: Some(integration.generation),
        };
        let (accepted, why, hint) = acceptance(integration);
        let known = (former.and_then(|former| former.phase), former.and_then(|former| former.since));
        Self {
            phase: Some(*phase),
            healthy: Some(format!("{}/{}", counts.running, counts.counting())),
            message: Some(brief(message)),
            conditions: vec![
                condition(READY, Truth::of_health(*phase), *reason, message),
                condition("Accepted", accepted, why, &hint),
            ],
            counts: Some(*counts),
            versions: versions.clone(),
            resources: resources.clone(),
            clusters: clusters.iter().map(ClusterLine::of).collect(),
            generation: Some(integration.generation),
            since: Some(phase_since(known.0, known.1, *phase, writer.now)),
            synced_at: Some(writer.now),
            term: Some(writer.term),
            managed_by: Some(writer.managed_by.clone()),
        }
    }

    /// The transition from `former` to this status, if the phase changed to anything but Initializing.
    pub fn phase_change(&self, former: Option<&Self>) -> Option<PhaseChange> {
        let before = former.and_then(|former| former.phase);
        let to = self.phase.filter(|phase| before != Some(*phase) && *phase != Phase::Initializing)?;
        let ready = self.conditions.iter().find(|condition| condition.kind == READY)?;
        Some(PhaseChange {
            integration: None,
            from: before.unwrap_or(Phase::Initializing),
            to,
            reason: ready.reason,
            message: ready.message.clone(),
            since: former.and_then(|former| former.since),
        })
    }

    /// Digest of everything that a user reads. Times and writer don't count.
    pub fn meaning(&self) -> u128 {
        let Self {
            phase,
            healthy,
            message,
            conditions,
            counts,
            versions,
            resources,
            clusters,
            generation,
            since: _,
            synced_at: _,
            term: _,
            managed_by: _,
        } = self;
        let mut fields = Fields::default();
        fields.add(phase.map(Phase::as_str)).add(healthy.as_deref()).add(message.as_deref());
        fields.add(generation.map(|generation| generation.to_string()));
        fields.add_conditions(conditions);
        for (_, count) in counts.iter().flat_map(|counts| counts.by_state()) {
            fields.add(Some(count.to_string()));
        }
        fields.add(counts.map(|counts| counts.total.to_string()));
        for VersionCount { version, clusters } in versions {
            fields.add(Some("version")).add(Some(version)).add(Some(clusters.to_string()));
        }
        // Other counts change all the time, and are written with something else or once in a while.
        for ResourceSum { kind, counts, clusters } in resources {
            fields.add(Some(kind)).add(Some(counts.failing.to_string())).add(Some(counts.unknown.to_string()));
            fields.add(Some(clusters.to_string()));
        }
        for ClusterLine { name, target, phase, reason, message } in clusters {
            fields.add(Some(name.as_str())).add(target.as_deref()).add(phase.map(Phase::as_str));
            fields.add(reason.map(Reason::as_str)).add(message.as_deref());
        }
        meaning(fields.0.iter().map(String::as_str))
    }
}

impl ClusterLine {
    fn of(cluster: &Cluster<'_>) -> Self {
        let Cluster { name, target, state: _, phase, reason, message } = cluster;
        Self {
            name: escape(name).into_owned(),
            target: target.map(str::to_owned),
            phase: Some(*phase),
            reason: Some(*reason),
            message: (!message.is_empty() && *phase != Phase::Running).then(|| cut(message)),
        }
    }
}

fn acceptance(integration: &DesiredIntegration) -> (Truth, Reason, String) {
    match &integration.expected {
        Err(failure) => (Truth::False, failure.reason, failure.message.clone()),
        Ok(_) if integration.wants_install => (
            Truth::False,
            Reason::AutoInstallRefused,
            "ksit installs nothing: set autoInstall.enabled to false; the tool is checked all the same".to_owned(),
        ),
        Ok(_) => (Truth::True, Reason::Accepted, "spec accepted".to_owned()),
    }
}
