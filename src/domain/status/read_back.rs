//! The verdict that a status was rendered from, for the replica that takes a target over.

use super::{REACHABLE, TargetStatus, ToolStatus, Truth, WATCHED, observations};
use crate::domain::check_mode::CheckMode;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::reason::{Failure, Reason};
use crate::domain::verdict::{History, Reach, TargetVerdict, ToolVerdict};

impl TargetStatus {
    /// The history that ends with the verdict of this status; an empty one if that isn't a conclusion or can't be read.
    pub fn verdict_history(&self, target: &TargetKey, threshold: u32) -> History {
        let mode = self.mode();
        self.verdict(target).map_or_else(History::default, |last| History::after(last, threshold).by(mode))
    }

    fn mode(&self) -> Option<CheckMode> {
        let watched = self.condition(WATCHED)?;
        match watched.truth {
            Truth::True => Some(CheckMode::Watch),
            _ => Some(CheckMode::Poll(Failure::new(watched.reason?, watched.message.clone()))),
        }
    }

    fn verdict(&self, target: &TargetKey) -> Option<TargetVerdict> {
        let reachable = self.condition(REACHABLE)?;
        let reach = match (reachable.truth, reachable.reason?) {
            (Truth::True, Reason::Connected) => Reach::Connected,
            (Truth::False, reason) => Reach::Failed(Failure::new(reason, reachable.message.clone())),
            _ => return None,
        };
        let verdict = |tool: &ToolStatus| {
            Some((IntegrationKey::new(target.namespace(), tool.name.as_str()), tool_verdict(tool)?))
        };
        Some(TargetVerdict { reach, tools: self.tools.iter().map(verdict).collect::<Option<_>>()? })
    }
}

fn tool_verdict(tool: &ToolStatus) -> Option<ToolVerdict> {
    Some(ToolVerdict {
        phase: tool.phase?,
        reason: tool.reason?,
        message: tool.message.clone(),
        observations: observations(tool).collect::<Option<_>>()?,
        version: tool.version.clone(),
        resources: tool.resources.clone(),
    })
}
