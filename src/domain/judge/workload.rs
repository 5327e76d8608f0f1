//! Judges Deployments, StatefulSets and DaemonSets.

use std::time::Duration;

use jiff::Timestamp;

use super::finding::{Finding, Seen as SeenObject, deadline, rule_to_add};
use super::{Answered, Clock, Listed};
use crate::domain::component::{Component, ComponentKind, Presence};
use crate::domain::snapshot::{Answer, Query, Rollout, Seen, Snapshot, Workload, WorkloadState};
use crate::domain::verdict::{ComponentState, Observation, Phase};

/// Judges every workload that the component's finder selects.
pub(super) fn judge_all(component: &Component, answers: &[Answered], snapshot: &Snapshot, clock: &Clock) -> Finding {
    let found = pick(component, answers);
    // A workload of one kind that is scaled to zero is left over from the other kind.
    let is_used = |workload: &Workload, kind| workload.state.desired > 0 || kind == ComponentKind::DaemonSet;
    let others_are_used = !component.or_kinds.is_empty() && found.iter().any(|(kind, _, w)| is_used(w, *kind));
    let mut all = Finding::default();
    for (kind, namespace, workload) in found {
        let seen = SeenObject { component, kind, namespace, name: &workload.name };
        let mut one = match others_are_used && !is_used(workload, kind) {
            true => seen.fine(ComponentState::NotInUse, Some("scaled to zero, another kind is in use".to_owned())),
            false => judge(&seen, &workload.state, clock),
        };
        for observation in &mut one.observations {
            observation.ready = Some(workload.state.ready);
            observation.desired = Some(workload.state.desired);
        }
        if let Some(selector) = &workload.pods {
            tell_why(&mut one, namespace, selector, snapshot);
        }
        all.merge(one);
    }
    all
}

/// Adds the reason from the Pods of a workload that is not at strength, and asks for it.
fn tell_why(finding: &mut Finding, namespace: &str, selector: &str, snapshot: &Snapshot) {
    let is_settled =
        |observation: &Observation| matches!(observation.state, ComponentState::Healthy | ComponentState::NotInUse);
    if finding.observations.iter().all(is_settled) {
        return;
    }
    let query = Query::Pods { namespace: namespace.to_owned(), selector: selector.to_owned() };
    let why = match snapshot.get(&query) {
        Some(Answer::Pods(Some(trouble))) => match &trouble.container {
            Some(container) => format!(" ({} in container {container})", trouble.reason),
            None => format!(" ({})", trouble.reason),
        },
        Some(Answer::Forbidden) => format!(" (for the reason, {})", rule_to_add(&query)),
        _ => String::new(),
    };
    for fault in &mut finding.faults {
        fault.message.push_str(&why);
    }
    for message in finding.observations.iter_mut().filter_map(|observation| observation.message.as_mut()) {
        message.push_str(&why);
    }
    finding.why.insert(query);
}

/// The workloads that the component's finder selects.
pub(super) fn pick<'a>(component: &Component, answers: &[Answered<'a>]) -> Vec<Listed<'a, Workload>> {
    let workloads = |answer: &'a Answer| match answer {
        Answer::Workloads(workloads) => workloads.as_slice(),
        _ => &[],
    };
    super::pick(component, answers, workloads, |workload| &workload.name, |workload| &workload.labels)
}

fn judge(seen: &SeenObject<'_>, workload: &WorkloadState, clock: &Clock) -> Finding {
    if workload.desired == 0 && workload.seen == Seen::Latest {
        return match (seen.kind, seen.component.presence) {
            (ComponentKind::DaemonSet, _) => seen.fine(ComponentState::Healthy, Some("no node matches it".to_owned())),
            (_, Presence::Optional) => seen.fine(ComponentState::NotInUse, Some("scaled to zero".to_owned())),
            _ => {
                let why = "is scaled to 0: scale it up, or make it optional in config".to_owned();
                seen.fault(Phase::Failed, why, None)
            }
        };
    }
    let since = clock.unhealthy_since(seen);
    let patience = seen.component.patience;
    let Some(why) = broken(seen, workload) else { return works(seen, workload, since, clock) };
    let broken = wait(seen, since, patience.fail_after, clock, Phase::Failed, why);
    if !broken.faults.is_empty() {
        return broken;
    }
    // Held back, it is not better than a workload that works as badly.
    let mut weak = works(seen, workload, since, clock);
    weak.until = weak.until.into_iter().chain(broken.until).min();
    if weak.faults.is_empty() { broken } else { weak }
}

/// Judges a workload that is not broken.
fn works(seen: &SeenObject<'_>, workload: &WorkloadState, since: Timestamp, clock: &Clock) -> Finding {
    let deadline = seen.component.patience.progress_deadline;
    if workload.seen != Seen::Latest {
        let since = match workload.seen {
            Seen::Never(created) => Timestamp::from_second(created).unwrap_or(since),
            _ => since,
        };
        let why = "is not looked at by its controller: check the cluster's kube-controller-manager".to_owned();
        return wait(seen, since, deadline, clock, Phase::Failed, why);
    }
    match below_strength(seen, workload) {
        Some(Shortfall::Final(why)) => seen.fault(Phase::Degraded, why, Some(since)),
        Some(Shortfall::Passing(why)) => wait(seen, since, deadline, clock, Phase::Degraded, why),
        None => seen.fine(ComponentState::Healthy, choice(workload)),
    }
}

/// On its way for `patience` since `since`; afterwards at fault.
fn wait(
    seen: &SeenObject<'_>,
    since: Timestamp,
    patience: Duration,
    clock: &Clock,
    phase: Phase,
    why: String,
) -> Finding {
    let until = deadline(since, patience);
    if clock.now >= until {
        return seen.fault(phase, why, Some(since));
    }
    seen.on_its_way(why, since, until)
}

/// Why the workload does not work, if so.
fn broken(seen: &SeenObject<'_>, workload: &WorkloadState) -> Option<String> {
    let WorkloadState { desired, ready, .. } = *workload;
    if let Some(min) = seen.component.min_ready {
        let least = min.of(desired);
        return (ready < least).then(|| format!("has {ready} of {desired} ready, but at least {least} are required"));
    }
    let few = || format!("has {ready} of {desired} ready: look at its Pods and events");
    match seen.kind {
        ComponentKind::DaemonSet => is_missing_too_many(workload).then(few),
        ComponentKind::StatefulSet if seen.component.quorum && desired >= 3 && desired % 2 == 1 => {
            let majority = desired / 2 + 1;
            (ready < majority).then(|| format!("has {ready} of {desired} ready, and needs a majority of {majority}"))
        }
        _ if ready == 0 => Some(few()),
        _ if workload.conditions.available == Some(false) => Some(format!(
            "has {ready} of {desired} ready, too few to be available (Available is False): look at its Pods and events"
        )),
        _ => None,
    }
}

/// More than one Pod and more than a tenth of them are missing, beyond what a rollout may take down.
fn is_missing_too_many(workload: &WorkloadState) -> bool {
    let WorkloadState { desired, ready, updated, max_unavailable, .. } = *workload;
    let is_rolling = updated < desired && workload.rollout == Rollout::Automatic;
    let allowed = if is_rolling { max_unavailable } else { 0 };
    let missing = desired.saturating_sub(ready).saturating_sub(allowed);
    let is_a_tenth = u64::from(missing) * 10 > u64::from(desired);
    missing > 0 && ready == 0 || missing > 1 && is_a_tenth
}

/// Why a working workload is not at strength.
enum Shortfall {
    /// It may pass by itself.
    Passing(String),
    /// Its controller has given up waiting.
    Final(String),
}

fn below_strength(seen: &SeenObject<'_>, workload: &WorkloadState) -> Option<Shortfall> {
    let WorkloadState { desired, ready, updated, .. } = *workload;
    let is_rolling = updated < desired && workload.rollout == Rollout::Automatic;
    // With a minimum of the user's own, fewer than desired are a choice.
    let is_short = ready < desired && seen.component.min_ready.is_none();
    if workload.conditions.stalled && (is_rolling || is_short) {
        let counts =
            if is_rolling { format!("{updated} of {desired} updated") } else { format!("{ready} of {desired} ready") };
        return Some(Shortfall::Final(format!("is stuck, {counts}: its progress deadline has passed")));
    }
    if workload.conditions.replica_failure {
        let why = format!("has {ready} of {desired} ready: Pods can't be created, look at quotas and admission");
        return Some(Shortfall::Passing(why));
    }
    if is_rolling {
        return Some(Shortfall::Passing(format!("is rolling out, {updated} of {desired} updated")));
    }
    is_short.then(|| Shortfall::Passing(format!("has {ready} of {desired} ready")))
}

/// A remark on Pods that keep an old version by the user's choice.
fn choice(workload: &WorkloadState) -> Option<String> {
    let old = workload.desired.saturating_sub(workload.updated);
    let pods = if old == 1 { "1 Pod" } else { &format!("{old} Pods") };
    match workload.rollout {
        _ if old == 0 => None,
        Rollout::OnDelete => Some(format!("{pods} of the old version, until deleted (OnDelete)")),
        Rollout::Partition => Some(format!("{pods} of the old version (partition)")),
        Rollout::Paused => Some(format!("{pods} of the old version (paused)")),
        Rollout::Automatic => None,
    }
}
