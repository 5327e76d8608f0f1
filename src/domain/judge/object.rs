//! Judges objects that are read by name: CustomResourceDefinitions, APIServices, webhooks, and any other kind.

use jiff::{SignedDuration, Timestamp};

use super::Clock;
use super::finding::{Finding, Seen, deadline};
use super::service::ready_endpoints;
use crate::domain::component::ComponentKind;
use crate::domain::snapshot::{Answer, CaBundle, ObjectRef, ObjectState, Query, Snapshot, Webhook};
use crate::domain::verdict::{ComponentState, Phase};

/// Time before the end of a `caBundle` from which it needs attention.
const CA_ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Values of `status.phase` that mean a failure, by convention: Velero, Cluster API, Rook, Strimzi and others.
const FAILED_PHASES: [&str; 4] = ["Error", "Failed", "Failure", "Unavailable"];

pub(super) fn judge(seen: &Seen<'_>, state: &ObjectState, snapshot: &Snapshot, clock: &Clock) -> Finding {
    if state.deleting {
        return seen.fault(Phase::Failed, "is being deleted".to_owned(), None);
    }
    match seen.kind {
        ComponentKind::Crd => crd(seen, snapshot),
        ComponentKind::ApiService => api_service(seen, state),
        ComponentKind::ValidatingWebhook | ComponentKind::MutatingWebhook => webhooks(seen, state, snapshot, clock),
        _ => by_conditions(seen, state, clock),
    }
}

/// Its conditions decide, and are asked for if the server doesn't list it: that may be late.
fn crd(seen: &Seen<'_>, snapshot: &Snapshot) -> Finding {
    let is_unserved = match snapshot.get(&Query::Served) {
        Some(Answer::Served(served)) => served.missing.contains(seen.name),
        _ => false,
    };
    if !is_unserved {
        return seen.fine(ComponentState::Healthy, None);
    }
    let in_full = Query::Object(ObjectRef::crd_in_full(seen.name));
    let mut finding = match snapshot.get(&in_full) {
        None => seen.fine(ComponentState::Healthy, None),
        Some(Answer::Object(state)) => {
            match ["NamesAccepted", "Established"].into_iter().find(|c| is_false(state, c)) {
                Some(condition) => {
                    let why = format!("is not served: {condition} is False{}", reason(state, condition));
                    seen.fault(Phase::Failed, why, None)
                }
                None => seen.fine(ComponentState::Healthy, None),
            }
        }
        Some(_) => seen.fault(Phase::Failed, "is not served by the API server".to_owned(), None),
    };
    finding.why.insert(in_full);
    finding
}

fn is_false(state: &ObjectState, condition: &str) -> bool {
    state.conditions.get(condition).is_some_and(|condition| condition.truth == Some(false))
}

fn api_service(seen: &Seen<'_>, state: &ObjectState) -> Finding {
    match state.conditions.get("Available").map(|available| available.truth) {
        Some(Some(true)) => seen.fine(ComponentState::Healthy, None),
        _ => {
            let why = format!("is not available{}: look at the Service that it names", reason(state, "Available"));
            seen.fault(Phase::Failed, why, None)
        }
    }
}

/// ` (Reason)`, if the condition has one.
fn reason(state: &ObjectState, condition: &str) -> String {
    let reason = state.conditions.get(condition).and_then(|condition| condition.reason.as_ref());
    reason.map(|reason| format!(" ({reason})")).unwrap_or_default()
}

fn webhooks(seen: &Seen<'_>, state: &ObjectState, snapshot: &Snapshot, clock: &Clock) -> Finding {
    let faults = state.webhooks.iter().filter_map(|webhook| webhook_fault(webhook, snapshot, clock.now));
    // Phases are ordered worst first.
    match faults.min_by_key(|(phase, _)| *phase) {
        Some((phase, why)) => seen.fault(phase, why, None),
        None => seen.fine(ComponentState::Healthy, None),
    }
}

fn webhook_fault(webhook: &Webhook, snapshot: &Snapshot, now: Timestamp) -> Option<(Phase, String)> {
    let phase = if webhook.required { Phase::Failed } else { Phase::Degraded };
    let effect = if webhook.required { "requests are refused" } else { "requests pass unchecked" };
    if let Some((namespace, name)) = &webhook.service
        // Where ksit does not read endpoints it can't tell.
        && ready_endpoints(namespace, name, snapshot) == Some(0)
    {
        return Some((phase, format!("calls Service {namespace}/{name}, which has no ready endpoints: {effect}")));
    }
    match webhook.ca {
        CaBundle::Empty if webhook.service.is_none() => None,
        CaBundle::Empty => Some((phase, format!("has an empty caBundle: {effect}"))),
        CaBundle::Invalid => Some((phase, format!("has a caBundle that is no certificate: {effect}"))),
        CaBundle::Until(end) => {
            let end = Timestamp::from_second(end).ok()?;
            if end <= now {
                return Some((phase, format!("has a caBundle that has expired: {effect}")));
            }
            let soon = now.checked_add(CA_ENDS_SOON).unwrap_or(Timestamp::MAX);
            (end <= soon).then(|| (Phase::Degraded, format!("has a caBundle that ends at {end}")))
        }
    }
}

/// The rules of kstatus, which Helm, Flux and kpt use:
/// <https://github.com/kubernetes-sigs/cli-utils/tree/master/pkg/kstatus>.
fn by_conditions(seen: &Seen<'_>, state: &ObjectState, clock: &Clock) -> Finding {
    let truth = |condition: &str| state.conditions.get(condition).map(|condition| condition.truth);
    let stalled = truth("Stalled") == Some(Some(true));
    if state.is_silent_lease {
        let why = "is held, and its holder has not renewed it for five of its durations: that process does not work";
        return seen.fault(Phase::Failed, why.to_owned(), None);
    }
    let failed_phase = state.phase.as_deref().filter(|phase| FAILED_PHASES.contains(phase));
    if let Some(phase) = failed_phase {
        return seen.fault(Phase::Failed, format!("is {phase}"), None);
    }
    if stalled {
        return seen.fault(Phase::Failed, format!("is stalled{}", reason(state, "Stalled")), None);
    }
    let on_its_way = state.outdated || truth("Reconciling") == Some(Some(true));
    match truth("Ready") {
        Some(Some(false)) if !on_its_way => {
            seen.fault(Phase::Failed, format!("is not ready{}", reason(state, "Ready")), None)
        }
        ready if on_its_way || ready == Some(None) => {
            let since = clock.unhealthy_since(seen);
            let until = deadline(since, seen.component.patience.progress_deadline);
            if clock.now >= until {
                return seen.fault(Phase::Degraded, "has been in progress for too long".to_owned(), Some(since));
            }
            seen.on_its_way("in progress".to_owned(), since, until)
        }
        _ => seen.fine(ComponentState::Healthy, None),
    }
}
