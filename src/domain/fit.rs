//! Shrinks a verdict to a size that a status can store and a report can carry.
//!
//! etcd accepts objects of 1.5 MiB, but a cluster may have any number of components and Integrations. So the worker
//! shrinks its report: it omits healthy components first, then shortens messages, and if even the names of the tools
//! are too many, replaces everything by a verdict that reports this.

use std::sync::Arc;

use super::escape::is_invisible;
use super::keys::IntegrationKey;
use super::managed::{FailingObject, ResourceSummary};
use super::reason::{Failure, Reason};
use super::verdict::{ComponentState, Observation, Reach, TargetVerdict, ToolVerdict};

/// Upper bound of components listed.
const MAX_COMPONENTS: usize = 1_000;

/// JSON bytes for components, and for tools without their components.
const COMPONENTS_BYTES: usize = 192 * 1024;
const TOOLS_BYTES: usize = 192 * 1024;

/// JSON bytes for managed objects.
const RESOURCES_BYTES: usize = 128 * 1024;

/// Upper bounds of a message, in characters, tried in turn until the tools fit.
const MAX_MESSAGE: usize = 1_024;
const MESSAGE_LIMITS: [usize; 4] = [MAX_MESSAGE, 256, 64, 0];

/// Upper bounds of an observation's and a tool's JSON bytes beyond their strings, including the tool's type.
const OBSERVATION: usize = 160;
const TOOL: usize = 240;

/// The same of the counts of one kind, and of one failing object.
const RESOURCES: usize = 160;
const FAILING_OBJECT: usize = 96;

/// JSON bytes of the field of a version beyond the version.
const VERSION: usize = 13;

/// Upper bound of the JSON bytes of one escaped character: `\\u{e007f}`.
const ESCAPED: usize = 10;

/// Shrinks the verdict, and returns the number of omitted observations. Returns the same `Arc` if it fits as it is.
pub fn fit(verdict: &Arc<TargetVerdict>) -> (Arc<TargetVerdict>, u32) {
    let Some(limit) = MESSAGE_LIMITS.into_iter().find(|limit| tools_bytes(verdict, *limit) <= TOOLS_BYTES) else {
        return (Arc::new(too_many_tools(verdict)), 0);
    };
    let mut budget = Budget { components: MAX_COMPONENTS, bytes: COMPONENTS_BYTES };
    let is_short = |text: &str| text.chars().nth(limit).is_none();
    let managed: usize = verdict.tools.iter().flat_map(|(_, tool)| &tool.resources).map(resources_bytes).sum();
    let is_whole = managed <= RESOURCES_BYTES
        && verdict.tools.iter().all(|(_, tool)| {
            let texts = tool.observations.iter().filter_map(|observation| observation.message.as_deref());
            is_short(&tool.message)
                && texts.into_iter().all(|text| text.chars().nth(MAX_MESSAGE).is_none())
                && tool.observations.iter().all(|observation| budget.take(observation))
        });
    if is_whole {
        return (verdict.clone(), 0);
    }
    let (tools, omitted) = shrunk(&verdict.tools, limit);
    (Arc::new(TargetVerdict { reach: verdict.reach.clone(), tools }), omitted)
}

/// Keeps the worst tools first and their unhealthy components first, so that healthy ones are omitted.
fn shrunk(tools: &[(IntegrationKey, ToolVerdict)], limit: usize) -> (Vec<(IntegrationKey, ToolVerdict)>, u32) {
    let mut order: Vec<usize> = (0..tools.len()).collect();
    order.sort_by_key(|place| (tools[*place].1.phase, &tools[*place].0));
    let mut budget = Budget { components: MAX_COMPONENTS, bytes: COMPONENTS_BYTES };
    let (mut omitted, mut room) = (0, RESOURCES_BYTES);
    let mut kept: Vec<Vec<Observation>> = vec![Vec::new(); tools.len()];
    let mut resources: Vec<Vec<ResourceSummary>> = vec![Vec::new(); tools.len()];
    for place in order {
        let mut ordered: Vec<&Observation> = tools[place].1.observations.iter().collect();
        ordered
            .sort_by_key(|observation| observation.state.is_healthy() || observation.state == ComponentState::NotInUse);
        let all = ordered.len();
        kept[place] = ordered.into_iter().map(shortened).take_while(|observation| budget.take(observation)).collect();
        omitted += all - kept[place].len();
        resources[place] = tools[place].1.resources.iter().filter_map(|summary| fitted(summary, &mut room)).collect();
    }
    let tools = tools.iter().zip(kept).zip(resources).map(|(((key, tool), observations), resources)| {
        let message = truncated(&tool.message, limit);
        (
            key.clone(),
            ToolVerdict {
                phase: tool.phase,
                reason: tool.reason,
                message,
                observations,
                version: tool.version.clone(),
                resources,
            },
        )
    });
    (tools.collect(), u32::try_from(omitted).unwrap_or(u32::MAX))
}

/// The counts of a kind with as much of their names as there is room for; `None` if there is none.
fn fitted(summary: &ResourceSummary, room: &mut usize) -> Option<ResourceSummary> {
    for summary in [summary.clone(), summary.without_names()] {
        if let Some(left) = room.checked_sub(resources_bytes(&summary)) {
            *room = left;
            return Some(summary);
        }
    }
    None
}

fn resources_bytes(summary: &ResourceSummary) -> usize {
    let ResourceSummary { kind, counts, message } = summary;
    let object = |object: &FailingObject| {
        let FailingObject { namespace, name, reason, since: _ } = object;
        FAILING_OBJECT + namespace.len() + name.len() + reason.as_ref().map_or(0, String::len)
    };
    let names: usize = counts.worst.iter().map(object).sum();
    RESOURCES + kind.len() + message.as_deref().map_or(0, json_bytes) + names
}

/// The remaining budget for components.
struct Budget {
    components: usize,
    bytes: usize,
}

impl Budget {
    /// Charges an observation. Returns false, and from then on always, if it does not fit.
    fn take(&mut self, observation: &Observation) -> bool {
        let Observation { kind: _, namespace, name, state: _, ready: _, desired: _, since: _, message } = observation;
        let texts = [namespace, name, message.as_deref().unwrap_or_default()];
        let bytes = OBSERVATION + texts.into_iter().map(json_bytes).sum::<usize>();
        let fits = self.components > 0 && self.bytes >= bytes;
        *self = match fits {
            true => Self { components: self.components - 1, bytes: self.bytes - bytes },
            false => Self { components: 0, bytes: 0 },
        };
        fits
    }
}

fn tools_bytes(verdict: &TargetVerdict, limit: usize) -> usize {
    let bytes = |(key, tool): &(IntegrationKey, ToolVerdict)| {
        let version = tool.version.as_ref().map_or(0, |version| VERSION + version.len());
        TOOL + version + json_bytes(key.name()) + json_bytes(&truncated(&tool.message, limit))
    };
    verdict.tools.iter().map(bytes).sum()
}

fn too_many_tools(verdict: &TargetVerdict) -> TargetVerdict {
    let message = format!(
        "{} Integrations concern the cluster, which is more than a status can list; split them over several namespaces, \
         or select fewer clusters",
        verdict.tools.len()
    );
    TargetVerdict { reach: Reach::Failed(Failure::new(Reason::TooManyIntegrations, message)), tools: Vec::new() }
}

fn shortened(observation: &Observation) -> Observation {
    let message = observation.message.as_deref().map(|message| truncated(message, MAX_MESSAGE));
    Observation { message, ..observation.clone() }
}

/// Truncates to `limit` characters, and marks the cut with an ellipsis.
fn truncated(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Size of the text in JSON, with invisible characters escaped as in a status.
fn json_bytes(text: &str) -> usize {
    text.chars()
        .map(|letter| match letter {
            '"' | '\\' => 2,
            letter if is_invisible(letter) => ESCAPED,
            letter => letter.len_utf8(),
        })
        .sum()
}

#[cfg(test)]
#[path = "fit_tests.rs"]
pub(crate) mod tests;
