//! Converts between domain messages and protobuf. An unreadable message is rejected, but the link stays open. A name
//! that only another version knows does not make a message unreadable: it is passed through.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::resources;
use super::wire::{self, coordinator_message, worker_message};
use crate::domain::check_mode::CheckMode;
use crate::domain::component::SeenKind;
use crate::domain::digest::Digest;
use crate::domain::keys::{IntegrationKey, TargetKey};
use crate::domain::object_names::is_label_value;
use crate::domain::reason::{Failure, Reason};
use crate::domain::replica::{Epoch, ReplicaName};
use crate::domain::report::{FromWorker, Heartbeat, TargetReport, ToWorker};
use crate::domain::verdict::{ComponentState, Observation, Phase, Reach, TargetVerdict, ToolVerdict};

/// A message can't be decoded. Names the field, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} of a message can't be read; is the other side another version?")]
pub struct Unreadable(pub(super) &'static str);

pub(super) fn encode(message: FromWorker) -> wire::WorkerMessage {
    use worker_message::Message;
    let message = match message {
        FromWorker::Digests { sequence, epoch, digests } => Message::Digests(wire::Digests {
            sequence,
            epoch: epoch.0,
            digests: digests.into_iter().flat_map(Digest::to_bytes).collect(),
        }),
        FromWorker::Report { sequence, meaning, report } => Message::Report(wire::Report {
            meaning: meaning.map(|meaning| meaning.to_le_bytes().to_vec()).unwrap_or_default(),
            ..encode_report(sequence, *report)
        }),
        FromWorker::Heartbeat(Heartbeat { epoch, targets, late, set, confirms }) => {
            Message::Heartbeat(wire::Heartbeat { epoch: epoch.0, targets, late, set, confirms })
        }
    };
    wire::WorkerMessage { message: Some(message) }
}

/// `sender`: the authenticated sender.
pub(super) fn decode(message: wire::WorkerMessage, sender: &ReplicaName) -> Result<FromWorker, Unreadable> {
    use worker_message::Message;
    Ok(match message.message.ok_or(Unreadable("the kind"))? {
        Message::Digests(wire::Digests { sequence, epoch, digests }) => {
            let digests = digests.chunks(Digest::LENGTH).map(Digest::from_bytes).collect::<Option<_>>();
            FromWorker::Digests { sequence, epoch: Epoch(epoch), digests: digests.ok_or(Unreadable("digests"))? }
        }
        Message::Report(report) => FromWorker::Report {
            sequence: report.sequence,
            meaning: report.meaning.as_slice().try_into().ok().map(u128::from_le_bytes),
            report: Box::new(decode_report(report, sender)?),
        },
        Message::Heartbeat(wire::Heartbeat { epoch, targets, late, set, confirms }) => {
            FromWorker::Heartbeat(Heartbeat { epoch: Epoch(epoch), targets, late, set, confirms })
        }
    })
}

pub(super) fn encode_answer(message: ToWorker) -> wire::CoordinatorMessage {
    use coordinator_message::Message;
    let message = match message {
        ToWorker::Want { targets } => Message::Want(wire::Want { targets }),
        ToWorker::Taken { sequence } => Message::Taken(wire::Taken { sequence }),
        ToWorker::Confirm => Message::Confirm(wire::Confirm {}),
    };
    wire::CoordinatorMessage { message: Some(message) }
}

pub(super) fn decode_answer(message: wire::CoordinatorMessage) -> Result<ToWorker, Unreadable> {
    use coordinator_message::Message;
    Ok(match message.message.ok_or(Unreadable("the kind"))? {
        Message::Want(wire::Want { targets }) => ToWorker::Want { targets },
        Message::Taken(wire::Taken { sequence }) => ToWorker::Taken { sequence },
        Message::Confirm(wire::Confirm {}) => ToWorker::Confirm,
    })
}

fn encode_report(sequence: u64, report: TargetReport) -> wire::Report {
    let TargetReport {
        target,
        verdict,
        omitted,
        mode,
        generation,
        secret_version,
        server,
        credential_ends,
        renewal_failure,
        note,
        reported_by: _,
        epoch,
        next,
    } = report;
    let TargetVerdict { reach, tools } = Arc::unwrap_or_clone(verdict);
    let (mode, mode_message) = match mode {
        None => (String::new(), String::new()),
        Some(CheckMode::Watch) => (Reason::Watching.as_str().to_owned(), String::new()),
        Some(CheckMode::Poll(why)) => (why.reason.as_str().to_owned(), why.message),
    };
    let (reach, reach_message) = match reach {
        Reach::Initializing => (Reason::Initializing, String::new()),
        Reach::Connected => (Reason::Connected, note.unwrap_or_default()),
        Reach::Paused => (Reason::Paused, String::new()),
        Reach::Stale => (Reason::Stale, String::new()),
        Reach::Failed(failure) => (failure.reason, failure.message),
    };
    wire::Report {
        sequence,
        epoch: epoch.0,
        namespace: target.namespace().to_owned(),
        name: target.name().to_owned(),
        generation,
        secret_version,
        server,
        next_milliseconds: u64::try_from(next.as_millis()).unwrap_or(u64::MAX),
        reach: reach.as_str().to_owned(),
        reach_message,
        tools: tools.into_iter().map(encode_tool).collect(),
        mode,
        mode_message,
        credential_ends: credential_ends.map(Timestamp::as_second),
        renewal_failure,
        omitted,
        meaning: Vec::new(),
    }
}

fn decode_report(report: wire::Report, sender: &ReplicaName) -> Result<TargetReport, Unreadable> {
    let mut note = None;
    let reach = match Reason::read(&report.reach).ok_or(Unreadable("reach"))? {
        Reason::Initializing => Reach::Initializing,
        Reason::Connected => {
            note = Some(report.reach_message).filter(|note| !note.is_empty());
            Reach::Connected
        }
        Reason::Paused => Reach::Paused,
        Reason::Stale => Reach::Stale,
        reason => Reach::Failed(Failure::new(reason, report.reach_message)),
    };
    let mode = match report.mode.as_str() {
        "" => None,
        mode => Some(match Reason::read(mode).ok_or(Unreadable("mode"))? {
            Reason::Watching => CheckMode::Watch,
            reason => CheckMode::Poll(Failure::new(reason, report.mode_message)),
        }),
    };
    let credential_ends = report.credential_ends.map(Timestamp::from_second).transpose();
    let namespace = report.namespace.as_str();
    let tools = report.tools.into_iter().map(|tool| decode_tool(namespace, tool)).collect::<Result<_, _>>()?;
    Ok(TargetReport {
        target: TargetKey::new(namespace, report.name.as_str()),
        verdict: Arc::new(TargetVerdict { reach, tools }),
        omitted: report.omitted,
        mode,
        generation: report.generation,
        secret_version: report.secret_version,
        server: report.server,
        credential_ends: credential_ends.map_err(|_| Unreadable("credential_ends"))?,
        renewal_failure: report.renewal_failure,
        note,
        reported_by: sender.clone(),
        epoch: Epoch(report.epoch),
        next: Duration::from_millis(report.next_milliseconds),
    })
}

fn encode_tool((key, tool): (IntegrationKey, ToolVerdict)) -> wire::Tool {
    wire::Tool {
        integration: key.name().to_owned(),
        phase: tool.phase.as_str().to_owned(),
        reason: tool.reason.as_str().to_owned(),
        message: tool.message,
        components: tool.observations.into_iter().map(encode_component).collect(),
        version: tool.version,
        resources: tool.resources.into_iter().map(resources::encode).collect(),
    }
}

fn decode_tool(namespace: &str, tool: wire::Tool) -> Result<(IntegrationKey, ToolVerdict), Unreadable> {
    let verdict = ToolVerdict {
        phase: Phase::read(&tool.phase).ok_or(Unreadable("tools.phase"))?,
        reason: Reason::read(&tool.reason).ok_or(Unreadable("tools.reason"))?,
        message: tool.message,
        observations: tool.components.into_iter().map(decode_component).collect::<Result<_, _>>()?,
        version: tool.version.filter(|version| is_label_value(version)),
        resources: resources::decode(tool.resources)?,
    };
    Ok((IntegrationKey::new(namespace, tool.integration.as_str()), verdict))
}

fn encode_component(seen: Observation) -> wire::Component {
    let Observation { kind, namespace, name, state, ready, desired, since, message } = seen;
    let (kind, state) = (kind.as_str().to_owned(), state.as_str().to_owned());
    let since = since.map(Timestamp::as_second);
    wire::Component { kind, namespace, name, state, ready, desired, since, message }
}

fn decode_component(component: wire::Component) -> Result<Observation, Unreadable> {
    let wire::Component { kind, namespace, name, state, ready, desired, since, message } = component;
    let kind = SeenKind::read(&kind);
    let state = ComponentState::read(&state);
    Ok(Observation {
        kind: kind.ok_or(Unreadable("components.kind"))?,
        state: state.ok_or(Unreadable("components.state"))?,
        namespace,
        name,
        ready,
        desired,
        since: since.and_then(|since| Timestamp::from_second(since).ok()),
        message,
    })
}
