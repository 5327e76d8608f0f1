//! The result of judging one component.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::component::{Component, ComponentKind, Presence};
use crate::domain::object_names::place;
use crate::domain::reason::Reason;
use crate::domain::snapshot::{Query, Resource};
use crate::domain::verdict::{ComponentState, Observation, Phase};

/// One component's observations, and its faults if there are any.
#[derive(Debug, Default)]
pub(in crate::domain) struct Finding {
    pub(in crate::domain) observations: Vec<Observation>,
    pub(in crate::domain) faults: Vec<Fault>,
    /// Time at which the same state would be judged otherwise.
    pub(in crate::domain) until: Option<Timestamp>,
    /// Queries whose answers would tell why.
    pub(in crate::domain) why: BTreeSet<Query>,
}

/// A fault of a component, in a sentence with the cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::domain) struct Fault {
    /// Failed or Degraded.
    pub(in crate::domain) phase: Phase,
    pub(in crate::domain) reason: Reason,
    pub(in crate::domain) message: String,
}

impl Fault {
    pub(super) fn failed(reason: Reason, message: String) -> Self {
        Self { phase: Phase::Failed, reason, message }
    }
}

impl Finding {
    /// Adds the findings on another object of the component.
    pub(super) fn merge(&mut self, other: Self) {
        self.observations.extend(other.observations);
        self.faults.extend(other.faults);
        self.until = self.until.into_iter().chain(other.until).min();
        self.why.extend(other.why);
    }

    /// Whether the component works, with a remark or without.
    pub(in crate::domain) fn is_in_use(&self) -> bool {
        !self.faults.is_empty() || self.observations.iter().any(|observation| observation.state.is_healthy())
    }

    /// Whether an object of the component exists.
    pub(in crate::domain) fn is_present(&self) -> bool {
        let exists =
            |observation: &Observation| !matches!(observation.state, ComponentState::Absent | ComponentState::NotSeen);
        self.observations.iter().any(exists)
    }

    /// Whether ksit may not read its objects.
    pub(in crate::domain) fn is_unseen(&self) -> bool {
        self.observations.iter().any(|observation| observation.state == ComponentState::NotSeen)
    }
}

/// An object of a component, while it is judged.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) component: &'a Component,
    pub(super) kind: ComponentKind,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl Seen<'_> {
    /// `namespace/name`, or the name of a cluster-scoped object.
    pub(super) fn place(&self) -> String {
        place(self.namespace, self.name)
    }

    pub(super) fn observe(&self, state: ComponentState) -> Observation {
        Observation {
            kind: self.kind.into(),
            namespace: self.namespace.to_owned(),
            name: self.name.to_owned(),
            state,
            ready: None,
            desired: None,
            since: None,
            message: None,
        }
    }

    /// An object that will be judged anew at `until`.
    pub(super) fn on_its_way(&self, why: String, since: Timestamp, until: Timestamp) -> Finding {
        let observation = self.observe(ComponentState::Progressing);
        let observation = Observation { message: Some(why), since: Some(since), ..observation };
        Finding { observations: vec![observation], until: Some(until), ..Finding::default() }
    }

    /// A working object, with a remark or without.
    pub(super) fn fine(&self, state: ComponentState, message: Option<String>) -> Finding {
        Finding { observations: vec![Observation { message, ..self.observe(state) }], ..Finding::default() }
    }

    /// An object with a fault: `why` continues a sentence that begins with its name.
    pub(super) fn fault(&self, phase: Phase, why: String, since: Option<Timestamp>) -> Finding {
        let (state, reason) = match phase {
            Phase::Degraded => (ComponentState::Degraded, Reason::ComponentDegraded),
            _ => (ComponentState::NotReady, Reason::ComponentNotReady),
        };
        let message = format!("{} {} {why}", self.kind, self.place());
        Finding {
            observations: vec![Observation { message: Some(why), since, ..self.observe(state) }],
            faults: vec![Fault { phase, reason, message }],
            ..Finding::default()
        }
    }
}

/// The end of the user's patience with a state that began at `since`.
pub(super) fn deadline(since: Timestamp, patience: Duration) -> Timestamp {
    let patience = SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
    since.checked_add(patience).unwrap_or(Timestamp::MAX)
}

pub(super) fn forbidden(seen: &Seen<'_>, query: &Query) -> Finding {
    let rule = rule_to_add(query);
    let mut finding = seen.fine(ComponentState::NotSeen, Some(rule.clone()));
    if seen.component.presence == Presence::Required {
        let message = format!("{} {} may not be read: {rule}", seen.kind, seen.place());
        finding.faults.push(Fault::failed(Reason::Forbidden, message));
    }
    finding
}

/// The RBAC rule to add on the target, verbatim.
pub(in crate::domain) fn rule_to_add(query: &Query) -> String {
    match query {
        Query::Managed(list) => {
            let (group, _, resource) = list.resource();
            let role = match list.namespace.as_str() {
                "" => "a ClusterRole".to_owned(),
                namespace => format!("a Role in namespace {namespace}"),
            };
            format!("add to {role}: apiGroups [\"{group}\"], resources [\"{resource}\"], verbs [list, watch]")
        }
        Query::List { kind, namespace } => {
            let (group, _, resource) = kind.resource();
            format!(
                "add to a Role in namespace {namespace}: apiGroups [\"{group}\"], resources [\"{resource}\"], verbs \
                 [get, list, watch] (or the namespace does not exist)"
            )
        }
        Query::Pods { namespace, .. } => {
            format!("add to a Role in namespace {namespace}: apiGroups [\"\"], resources [\"pods\"], verbs [list]")
        }
        Query::Served => "bind the ClusterRole system:discovery".to_owned(),
        Query::Object(object) => {
            let (group, _, resource) = object.resource.path();
            let role = match (&object.resource, object.namespace.as_str()) {
                (Resource::Other { .. }, namespace) if !namespace.is_empty() => {
                    format!("a Role in namespace {namespace}")
                }
                _ => "a ClusterRole".to_owned(),
            };
            format!(
                "add to {role}: apiGroups [\"{group}\"], resources [\"{resource}\"], resourceNames [\"{}\"], verbs [get]",
                object.name
            )
        }
    }
}
