//! Maps the status of an Integration to the stored JSON and back, field by field.

use super::status::{condition, stored_condition, stored_phase, stored_reason, time};
use crate::api::{self, ClusterSummary, TargetCounts, VersionSummary};
use crate::domain::aggregate::{Counts, VersionCount};
use crate::domain::reason::Reason;
use crate::domain::replica::Term;
use crate::domain::status::{ClusterLine, IntegrationStatus};
use crate::domain::verdict::Phase;

/// The status as it is stored.
pub fn stored_integration_status(status: IntegrationStatus) -> api::IntegrationStatus {
    let IntegrationStatus {
        phase,
        healthy,
        message,
        conditions,
        counts,
        versions,
        resources,
        clusters,
        generation,
        since,
        synced_at,
        term,
        managed_by,
    } = status;
    let cluster = |cluster| {
        let ClusterLine { name, target, phase, reason, message } = cluster;
        ClusterSummary { name, target, phase: stored_phase(phase), reason: stored_reason(reason), message }
    };
    api::IntegrationStatus {
        phase: phase.map(|phase| phase.as_str().to_owned()),
        healthy,
        message,
        conditions: conditions.into_iter().map(stored_condition).collect(),
        targets: counts.map(stored_counts),
        versions: versions.into_iter().map(stored_version).collect(),
        resources: resources.into_iter().map(super::resources::stored_sum).collect(),
        clusters: clusters.into_iter().map(cluster).collect(),
        observed_generation: generation,
        last_transition_time: since.map(|time| time.to_string()),
        last_sync_time: synced_at.map(|time| time.to_string()),
        coordinator_term: term.map(|Term(term)| term),
        managed_by,
    }
}

fn stored_version(count: VersionCount) -> VersionSummary {
    let VersionCount { version, clusters } = count;
    VersionSummary { version, clusters }
}

fn version(stored: VersionSummary) -> VersionCount {
    let VersionSummary { version, clusters } = stored;
    VersionCount { version, clusters }
}

fn stored_counts(counts: Counts) -> TargetCounts {
    let Counts { total, running, degraded, failed, unreachable, unknown, initializing, paused, not_installed } = counts;
    TargetCounts { total, running, degraded, failed, unreachable, unknown, initializing, paused, not_installed }
}

/// A stored status, as far as it can be read. One of an earlier version has no time of its transition: the time of its
/// last write stands for it.
pub fn integration_status(stored: api::IntegrationStatus) -> IntegrationStatus {
    let api::IntegrationStatus {
        phase,
        healthy,
        message,
        conditions,
        targets,
        versions,
        resources,
        clusters,
        observed_generation,
        last_transition_time,
        last_sync_time,
        coordinator_term,
        managed_by,
    } = stored;
    let synced_at = time(last_sync_time.as_deref());
    let cluster = |stored| {
        let ClusterSummary { name, target, phase, reason, message } = stored;
        ClusterLine { name, target, phase: Phase::read(&phase), reason: Reason::read(&reason), message }
    };
    IntegrationStatus {
        phase: phase.as_deref().and_then(Phase::read),
        healthy,
        message,
        conditions: conditions.into_iter().filter_map(condition).collect(),
        counts: targets.map(counts),
        versions: versions.into_iter().map(version).collect(),
        resources: resources.into_iter().map(super::resources::read_sum).collect(),
        clusters: clusters.into_iter().map(cluster).collect(),
        generation: observed_generation,
        since: time(last_transition_time.as_deref()).or(synced_at),
        synced_at,
        term: coordinator_term.map(Term),
        managed_by,
    }
}

fn counts(stored: TargetCounts) -> Counts {
    let TargetCounts { total, running, degraded, failed, unreachable, unknown, initializing, paused, not_installed } =
        stored;
    Counts { total, running, degraded, failed, unreachable, unknown, initializing, paused, not_installed }
}
