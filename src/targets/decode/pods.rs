//! Decodes Pods that are not ready, for the commonest known reason.

use std::collections::BTreeMap;

use super::{decode_list, within_limit};
use crate::domain::object_names::is_label_value;
use crate::domain::snapshot::PodTrouble;
use crate::targets::objects::BadPage;
use crate::targets::wire::{ContainerState, ContainerStatus, Pod};

/// Reasons of a waiting or terminated container, and of a Pod. Others are never shown: a target chooses them.
const KNOWN: [&str; 13] = [
    "ContainerCannotRun",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "DeadlineExceeded",
    "ErrImageNeverPull",
    "ErrImagePull",
    "Error",
    "Evicted",
    "ImagePullBackOff",
    "InvalidImageName",
    "OOMKilled",
    "RunContainerError",
];

const UNSCHEDULABLE: &str = "Unschedulable";

/// The commonest trouble of the Pods in a list.
pub(in crate::targets) fn pod_trouble(body: &mut Vec<u8>) -> Result<Option<PodTrouble>, BadPage> {
    let pods: Vec<Pod> = within_limit(decode_list(body, "PodList")?)?;
    let mut troubles: BTreeMap<PodTrouble, u32> = BTreeMap::new();
    for trouble in pods.iter().filter_map(trouble) {
        *troubles.entry(trouble).or_default() += 1;
    }
    // The last of equals in the order of names, so that the answer is stable.
    Ok(troubles.into_iter().max_by_key(|(_, pods)| *pods).map(|(trouble, _)| trouble))
}

fn trouble(pod: &Pod) -> Option<PodTrouble> {
    if pod.metadata.as_ref().is_some_and(|meta| meta.deletion_timestamp.is_some()) {
        return None;
    }
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.list.iter().chain(&status.container_statuses.list);
    if let Some(trouble) = containers.into_iter().find_map(of_container) {
        return Some(trouble);
    }
    let unscheduled = status.conditions.list.iter().any(|condition| {
        condition.kind.as_deref() == Some("PodScheduled")
            && condition.status.as_deref() == Some("False")
            && condition.reason.as_deref() == Some(UNSCHEDULABLE)
    });
    let reason = if unscheduled { Some(UNSCHEDULABLE) } else { known(status.reason.as_deref()) };
    reason.map(|reason| PodTrouble { reason, container: None })
}

fn of_container(status: &ContainerStatus) -> Option<PodTrouble> {
    let state = status.state.as_ref()?;
    let waiting = state.waiting.as_ref().and_then(|waiting| known(waiting.reason.as_deref()));
    // A container that waits for its restart tells nothing; its last end may.
    let reason = match waiting {
        Some("CrashLoopBackOff") => end(status.last_state.as_ref()).filter(|end| *end != "Error").or(waiting),
        Some(_) => waiting,
        None => end(Some(state)),
    };
    let name = status.name.as_deref().filter(|name| is_label_value(name));
    reason.map(|reason| PodTrouble { reason, container: name.map(str::to_owned) })
}

fn end(state: Option<&ContainerState>) -> Option<&'static str> {
    known(state?.terminated.as_ref()?.reason.as_deref())
}

fn known(reason: Option<&str>) -> Option<&'static str> {
    KNOWN.into_iter().find(|known| reason == Some(known))
}
