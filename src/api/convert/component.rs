//! Converts components in the status of a target: to a full object, or to a short string if that loses nothing.
//!
//! Most components of most clusters are healthy. A full object has six JSON fields, which the hub copies and encodes
//! for every client that lists targets; the short form is a single string.

use crate::api::{ComponentStatus, IntegrationResult};
use crate::domain::component::SeenKind;
use crate::domain::verdict::{ComponentState, Observation};

/// Reads back the observation of each component; `None` for an unreadable one.
pub(super) fn observations(result: &IntegrationResult) -> impl Iterator<Item = Option<Observation>> {
    let short = result.healthy_components.iter().map(|text| from_short(text));
    result.components.iter().map(from_full).chain(short)
}

/// Renders `Deployment argocd/argocd-server 1/1`, `Service argocd/argocd-server 2` or
/// `CustomResourceDefinition issuers.acme.io`. `None` if this form would lose information.
pub(super) fn to_short(seen: &Observation) -> Option<String> {
    let Observation { kind, namespace, name, ready, desired, .. } = seen;
    let mut text = kind.as_str().to_owned();
    text.push(' ');
    if !namespace.is_empty() {
        text.push_str(namespace);
        text.push('/');
    }
    text.push_str(name);
    if let Some(ready) = ready {
        text.push_str(&format!(" {ready}"));
    }
    if let Some(desired) = desired {
        text.push_str(&format!("/{desired}"));
    }
    // The cluster chooses the names, so verify that the text parses back.
    (from_short(&text).as_ref() == Some(seen)).then_some(text)
}

fn from_short(text: &str) -> Option<Observation> {
    let mut words = text.split(' ');
    let kind = SeenKind::read(words.next()?)?;
    let place = words.next()?;
    let counts = words.next();
    let (ready, desired) = match counts.map(|counts| counts.split_once('/').unwrap_or((counts, ""))) {
        None => (None, None),
        Some((ready, "")) => (Some(ready.parse().ok()?), None),
        Some((ready, desired)) => (Some(ready.parse().ok()?), Some(desired.parse().ok()?)),
    };
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    let is_end = words.next().is_none();
    is_end.then(|| Observation {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        state: ComponentState::Healthy,
        ready,
        desired,
        message: None,
    })
}

pub(super) fn to_full(seen: &Observation, message: impl Fn(&str) -> String) -> ComponentStatus {
    let Observation { kind, namespace, name, state, ready, desired, message: note } = seen;
    ComponentStatus {
        kind: kind.as_str().to_owned(),
        namespace: (!namespace.is_empty()).then(|| namespace.clone()),
        name: name.clone(),
        state: state.as_str().to_owned(),
        ready: *ready,
        desired: *desired,
        message: note.as_deref().map(message),
    }
}

fn from_full(seen: &ComponentStatus) -> Option<Observation> {
    Some(Observation {
        kind: SeenKind::read(&seen.kind)?,
        namespace: seen.namespace.clone().unwrap_or_default(),
        name: seen.name.clone(),
        state: ComponentState::read(&seen.state)?,
        ready: seen.ready,
        desired: seen.desired,
        message: seen.message.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::component::ComponentKind;

    fn seen(kind: impl Into<SeenKind>, namespace: &str, name: &str, counts: (Option<u32>, Option<u32>)) -> Observation {
        Observation {
            kind: kind.into(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            state: ComponentState::Healthy,
            ready: counts.0,
            desired: counts.1,
            message: None,
        }
    }

    #[test]
    fn healthy_component_round_trips_in_short_form() {
        for (observation, text) in [
            (seen(ComponentKind::Deployment, "cd", "server", (Some(2), Some(2))), "Deployment cd/server 2/2"),
            (seen(ComponentKind::Service, "cd", "server", (Some(2), None)), "Service cd/server 2"),
            (seen(ComponentKind::Crd, "", "apps.io", (None, None)), "CustomResourceDefinition apps.io"),
            (seen(SeenKind::read("Widget").unwrap(), "cd", "w", (None, None)), "Widget cd/w"),
        ] {
            assert_eq!(to_short(&observation).as_deref(), Some(text));
            assert_eq!(from_short(text), Some(observation));
        }
    }

    #[test]
    fn component_that_needs_more_is_an_object() {
        let plain = seen(ComponentKind::Deployment, "cd", "server", (Some(1), Some(1)));
        let rolling = Observation { state: ComponentState::Progressing, ..plain.clone() };
        let noted = Observation { message: Some("2 of 3 are wanted".to_owned()), ..plain.clone() };
        let odd = ["a b", "a/b c", "server 1", "server 1/1"].map(|name| {
            let name = name.to_owned();
            Observation { name, ready: None, desired: None, ..plain.clone() }
        });
        let no_ready = Observation { ready: None, ..plain };
        for observation in [rolling, noted, no_ready].into_iter().chain(odd) {
            assert_eq!(to_short(&observation), None);
            assert_eq!(from_full(&to_full(&observation, str::to_owned)), Some(observation));
        }
    }

    #[test]
    fn malformed_short_forms_are_rejected() {
        for text in
            ["", "Deployment", "pod a/b 1/1", "Deployment a/b x/1", "Deployment a/b 1/x", "Deployment a/b 1/1 more"]
        {
            assert_eq!(from_short(text), None, "{text}");
        }
    }
}
