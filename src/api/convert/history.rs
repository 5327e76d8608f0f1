//! Restores a target's history from its status, for the replica that takes the target over.

use super::component::observations;
use crate::api::{IntegrationResult, IntegrationTargetStatus};
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::{Failure, Reason};
use crate::domain::verdict::{History, Phase, Reach, TargetVerdict, ToolVerdict};

/// Returns a history that ends with the verdict in `status`; an empty one if there is none, or it can't be read.
pub fn history(target: &TargetKey, status: Option<&IntegrationTargetStatus>, threshold: u32) -> History {
    status
        .and_then(|status| verdict(target, status))
        .map_or_else(History::default, |last| History::after(last, threshold))
}

fn verdict(target: &TargetKey, status: &IntegrationTargetStatus) -> Option<TargetVerdict> {
    let reachable = status.condition("Reachable")?;
    let reach = match (reachable.status.as_str(), Reason::read(&reachable.reason)?) {
        ("True", Reason::Connected) => Reach::Connected,
        ("False", reason) => Reach::Failed(Failure::new(reason, reachable.message.clone())),
        _ => return None,
    };
    let tool = |result: &IntegrationResult| {
        Some((IntegrationKey::new(target.namespace(), result.name.as_str()), tool_verdict(result)?))
    };
    Some(TargetVerdict { reach, tools: status.integrations.iter().map(tool).collect::<Option<_>>()? })
}

fn tool_verdict(result: &IntegrationResult) -> Option<ToolVerdict> {
    Some(ToolVerdict {
        phase: Phase::read(&result.phase)?,
        reason: Reason::read(&result.reason)?,
        message: result.message.clone().unwrap_or_default(),
        observations: observations(result).collect::<Option<_>>()?,
    })
}
