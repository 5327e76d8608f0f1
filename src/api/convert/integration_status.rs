//! Builds the status of an Integration.

use super::conditions::{Stamp, Truth, brief, cut, timeless, transition_time};
use super::status::Writer;
use crate::api::{ClusterSummary, IntegrationStatus, TargetCounts};
use crate::domain::aggregate::{Cluster, Counts, Summary};
use crate::domain::desired::DesiredIntegration;
use crate::domain::digest;
use crate::domain::escape::escape;
use crate::domain::reason::Reason;
use crate::domain::verdict::Phase;

/// Builds the status from `summary`. `former`: the present status, whose unchanged conditions keep their times.
pub fn integration_status(
    integration: &DesiredIntegration,
    summary: &Summary,
    former: Option<&IntegrationStatus>,
    writer: &Writer,
) -> IntegrationStatus {
    let Summary { phase, reason, message, counts, clusters } = summary;
    let former_conditions = former.map(|former| former.conditions.as_slice()).unwrap_or_default();
    let stamp = Stamp { generation: integration.generation, now: writer.now, former: former_conditions };
    let (accepted, why, hint) = acceptance(integration);
    let Counts { total, running, degraded, failed, unreachable, unknown, initializing, paused, not_installed } =
        *counts;
    // A status of an earlier version has only `lastSyncTime`.
    let known = former.and_then(|former| {
        let since = former.last_transition_time.as_ref().or(former.last_sync_time.as_ref());
        Some((former.phase.as_ref()?, since?))
    });
    IntegrationStatus {
        phase: Some(phase.as_str().to_owned()),
        healthy: Some(format!("{running}/{}", counts.counting())),
        message: Some(brief(message)),
        conditions: vec![
            stamp.condition("Ready", Truth::of_health(*phase), *reason, message),
            stamp.condition("Accepted", accepted, why, &hint),
        ],
        targets: Some(TargetCounts {
            total,
            running,
            degraded,
            failed,
            unreachable,
            unknown,
            initializing,
            paused,
            not_installed,
        }),
        clusters: clusters.iter().map(cluster).collect(),
        observed_generation: Some(integration.generation),
        last_transition_time: Some(transition_time(known, *phase, writer.now)),
        last_sync_time: Some(writer.now.to_string()),
        coordinator_term: Some(writer.term),
        managed_by: Some(writer.managed_by.clone()),
    }
}

fn acceptance(integration: &DesiredIntegration) -> (Truth, Reason, String) {
    match &integration.components {
        Err(error) => (Truth::False, Reason::InvalidConfig, error.clone()),
        Ok(_) if integration.wants_install => (
            Truth::False,
            Reason::AutoInstallRefused,
            "ksit installs nothing: set autoInstall.enabled to false; the tool is checked anyway".to_owned(),
        ),
        Ok(_) => (Truth::True, Reason::Healthy, "spec accepted".to_owned()),
    }
}

fn cluster(cluster: &Cluster) -> ClusterSummary {
    let Cluster { name, target, state: _, phase, reason, message } = cluster;
    ClusterSummary {
        name: escape(name).into_owned(),
        target: target.map(str::to_owned),
        phase: phase.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message: (!message.is_empty() && *phase != Phase::Running).then(|| cut(message)),
    }
}

/// Hashes the part of an Integration's status that matters to a user: all of it except times and the writer.
pub fn integration_meaning(status: &IntegrationStatus) -> u128 {
    let meaning = IntegrationStatus {
        conditions: timeless(&status.conditions),
        last_transition_time: None,
        last_sync_time: None,
        coordinator_term: None,
        managed_by: None,
        ..status.clone()
    };
    // Strings and numbers always serialise.
    digest::meaning([serde_json::to_string(&meaning).unwrap_or_default().as_str()])
}
