//! A verdict as large as a status can hold, and a message can carry.
//!
//! etcd takes objects of 1.5 MiB, and a cluster may bring any number of components, as its Integrations may. So a report
//! is cut where it is made: healthy components are left out first, then messages get shorter, and where even the names
//! of the tools are too many a verdict that says so takes the place of all.

use std::sync::Arc;

use super::escape::is_invisible;
use super::keys::IntegrationKey;
use super::reason::{Failure, Reason};
use super::verdict::{ComponentState, Observation, Reach, TargetVerdict, ToolVerdict};

/// Components that are listed at most.
const MOST_COMPONENTS: usize = 1_000;

/// Bytes of JSON for components, and for tools without them.
const COMPONENTS_BYTES: usize = 192 * 1024;
const TOOLS_BYTES: usize = 192 * 1024;

/// The longest message, in characters. Shorter ones are tried in turn where there are too many tools.
const LONGEST_MESSAGE: usize = 1_024;
const SHORTER_MESSAGES: [usize; 4] = [LONGEST_MESSAGE, 256, 64, 0];

/// Bytes of JSON that an observation and a tool take beside their texts, at most; the type of a tool included.
const OBSERVATION: usize = 160;
const TOOL: usize = 240;

/// Bytes of JSON for one character that is escaped, at most: `\\u{e007f}`.
const ESCAPED: usize = 10;

/// The verdict as it fits, and how many observations were left out. The very same where all of it does.
pub fn fit(verdict: &Arc<TargetVerdict>) -> (Arc<TargetVerdict>, u32) {
    let Some(longest) = SHORTER_MESSAGES.into_iter().find(|longest| tools_bytes(verdict, *longest) <= TOOLS_BYTES)
    else {
        return (Arc::new(too_many_tools(verdict)), 0);
    };
    let mut room = Room { components: MOST_COMPONENTS, bytes: COMPONENTS_BYTES };
    let is_short = |text: &str| text.chars().nth(longest).is_none();
    let is_whole = verdict.tools.iter().all(|(_, tool)| {
        let texts = tool.observations.iter().filter_map(|seen| seen.message.as_deref());
        is_short(&tool.message)
            && texts.into_iter().all(|text| text.chars().nth(LONGEST_MESSAGE).is_none())
            && tool.observations.iter().all(|seen| room.take(seen))
    });
    if is_whole {
        return (verdict.clone(), 0);
    }
    let (tools, omitted) = fitted(&verdict.tools, longest);
    (Arc::new(TargetVerdict { reach: verdict.reach.clone(), tools }), omitted)
}

/// Worst tools first, and of each what is not healthy: what is left out is what is healthy.
fn fitted(tools: &[(IntegrationKey, ToolVerdict)], longest: usize) -> (Vec<(IntegrationKey, ToolVerdict)>, u32) {
    let mut order: Vec<usize> = (0..tools.len()).collect();
    order.sort_by_key(|place| (tools[*place].1.phase, &tools[*place].0));
    let mut room = Room { components: MOST_COMPONENTS, bytes: COMPONENTS_BYTES };
    let mut omitted = 0;
    let mut kept: Vec<Vec<Observation>> = vec![Vec::new(); tools.len()];
    for place in order {
        let mut seen: Vec<&Observation> = tools[place].1.observations.iter().collect();
        seen.sort_by_key(|seen| seen.state.is_healthy() || seen.state == ComponentState::NotInUse);
        let all = seen.len();
        kept[place] = seen.into_iter().map(shortened).take_while(|seen| room.take(seen)).collect();
        omitted += all - kept[place].len();
    }
    let tools = tools.iter().zip(kept).map(|((key, tool), observations)| {
        let message = cut(&tool.message, longest);
        (key.clone(), ToolVerdict { phase: tool.phase, reason: tool.reason, message, observations })
    });
    (tools.collect(), u32::try_from(omitted).unwrap_or(u32::MAX))
}

struct Room {
    components: usize,
    bytes: usize,
}

impl Room {
    /// False if there is none for it, nor for anything after it.
    fn take(&mut self, seen: &Observation) -> bool {
        let Observation { kind: _, namespace, name, state: _, ready: _, desired: _, message } = seen;
        let texts = [namespace, name, message.as_deref().unwrap_or_default()];
        let bytes = OBSERVATION + texts.into_iter().map(json_bytes).sum::<usize>();
        let has_room = self.components > 0 && self.bytes >= bytes;
        *self = match has_room {
            true => Self { components: self.components - 1, bytes: self.bytes - bytes },
            false => Self { components: 0, bytes: 0 },
        };
        has_room
    }
}

fn tools_bytes(verdict: &TargetVerdict, longest: usize) -> usize {
    let bytes = |(key, tool): &(IntegrationKey, ToolVerdict)| {
        TOOL + json_bytes(key.name()) + json_bytes(&cut(&tool.message, longest))
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

fn shortened(seen: &Observation) -> Observation {
    let message = seen.message.as_deref().map(|message| cut(message, LONGEST_MESSAGE));
    Observation { message, ..seen.clone() }
}

/// At most so many characters, and a mark where there were more.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// As large as JSON makes it, once a status shows it escaped.
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
