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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn commonest_known_reason_of_pods_is_shown() {
        let read = |pods: serde_json::Value| {
            let list = json!({"kind": "PodList", "items": pods});
            let trouble = pod_trouble(&mut list.to_string().into_bytes()).unwrap();
            trouble.map(|trouble| (trouble.reason, trouble.container.unwrap_or_default()))
        };
        let waiting = |reason: &str| json!({"waiting": {"reason": reason, "message": "secret"}});
        let container = |name: &str, state: serde_json::Value| json!({"name": name, "state": state});
        let pod = |containers: serde_json::Value| json!({"metadata": {"name": "a"}, "status": {"containerStatuses": containers}});
        let pull = || pod(json!([container("server", waiting("ImagePullBackOff"))]));
        let crash = || {
            pod(json!([container("server", json!({"running": {}})), container("proxy", waiting("CrashLoopBackOff"))]))
        };
        assert_eq!(read(json!([pull(), crash(), crash()])), Some(("CrashLoopBackOff", "proxy".to_owned())));
        let mut killed = crash();
        killed["status"]["containerStatuses"][1]["lastState"] = json!({"terminated": {"reason": "OOMKilled"}});
        assert_eq!(read(json!([killed])), Some(("OOMKilled", "proxy".to_owned())));
        let unscheduled = json!({"metadata": {"name": "a"}, "status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]}});
        assert_eq!(read(json!([unscheduled])), Some(("Unschedulable", String::new())));
        let init = json!({"metadata": {"name": "a"}, "status": {
            "initContainerStatuses": [container("migrate", json!({"terminated": {"reason": "Error"}}))]}});
        assert_eq!(read(json!([init])), Some(("Error", "migrate".to_owned())));
        let odd = || pod(json!([container("server", waiting("Password hunter2"))]));
        assert_eq!(read(json!([odd(), {"metadata": null}, {"status": null}])), None);
        let hostile = pod(json!([container("\u{1b}[2J", waiting("ErrImagePull"))]));
        assert_eq!(read(json!([hostile])), Some(("ErrImagePull", String::new())));
        let mut ending = pull();
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-30T00:00:00Z");
        assert_eq!(read(json!([ending])), None, "it is replaced already");
        assert!(pod_trouble(&mut br#"{"kind":"Table"}"#.to_vec()).is_err());
    }
}
