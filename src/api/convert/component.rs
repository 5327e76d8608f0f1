//! Components in the status of a target: in full, or in a few words where these say it all.
//!
//! Most components of most clusters are healthy. In full each of them is six fields of JSON, which the hub copies and
//! encodes anew for everybody who lists targets; in a few words it is one.

use crate::api::{ComponentStatus, IntegrationResult};
use crate::domain::component::SeenKind;
use crate::domain::verdict::{ComponentState, Observation};

/// What was seen of each component; `None` for what can't be read.
pub(super) fn observations(result: &IntegrationResult) -> impl Iterator<Item = Option<Observation>> {
    let in_few_words = result.healthy_components.iter().map(|words| from_words(words));
    result.components.iter().map(from_full).chain(in_few_words)
}

/// `Deployment argocd/argocd-server 1/1`, `Service argocd/argocd-server 2`, `CustomResourceDefinition issuers.acme.io`.
/// `None` if this would not say all of it.
pub(super) fn in_words(seen: &Observation) -> Option<String> {
    let Observation { kind, namespace, name, ready, desired, .. } = seen;
    let mut words = kind.as_str().to_owned();
    words.push(' ');
    if !namespace.is_empty() {
        words.push_str(namespace);
        words.push('/');
    }
    words.push_str(name);
    if let Some(ready) = ready {
        words.push_str(&format!(" {ready}"));
    }
    if let Some(desired) = desired {
        words.push_str(&format!("/{desired}"));
    }
    // Names are whatever the cluster says.
    (from_words(&words).as_ref() == Some(seen)).then_some(words)
}

fn from_words(words: &str) -> Option<Observation> {
    let mut words = words.split(' ');
    let kind = SeenKind::read(words.next()?)?;
    let place = words.next()?;
    let counts = words.next();
    let (ready, desired) = match counts.map(|counts| counts.split_once('/').unwrap_or((counts, ""))) {
        None => (None, None),
        Some((ready, "")) => (Some(ready.parse().ok()?), None),
        Some((ready, desired)) => (Some(ready.parse().ok()?), Some(desired.parse().ok()?)),
    };
    let (namespace, name) = place.split_once('/').unwrap_or(("", place));
    let is_all = words.next().is_none();
    is_all.then(|| Observation {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        state: ComponentState::Healthy,
        ready,
        desired,
        message: None,
    })
}

pub(super) fn in_full(seen: &Observation, message: impl Fn(&str) -> String) -> ComponentStatus {
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
    fn a_healthy_component_is_told_in_a_few_words_and_read_back() {
        for (observation, words) in [
            (seen(ComponentKind::Deployment, "cd", "server", (Some(2), Some(2))), "Deployment cd/server 2/2"),
            (seen(ComponentKind::Service, "cd", "server", (Some(2), None)), "Service cd/server 2"),
            (seen(ComponentKind::Crd, "", "apps.io", (None, None)), "CustomResourceDefinition apps.io"),
            (seen(SeenKind::read("Widget").unwrap(), "cd", "w", (None, None)), "Widget cd/w"),
        ] {
            assert_eq!(in_words(&observation).as_deref(), Some(words));
            assert_eq!(from_words(words), Some(observation));
        }
    }

    #[test]
    fn what_a_few_words_would_not_say_is_told_in_full() {
        let plain = seen(ComponentKind::Deployment, "cd", "server", (Some(1), Some(1)));
        let rolling = Observation { state: ComponentState::Progressing, ..plain.clone() };
        let noted = Observation { message: Some("2 of 3 are wanted".to_owned()), ..plain.clone() };
        let odd = ["a b", "a/b c", "server 1", "server 1/1"].map(|name| {
            let name = name.to_owned();
            Observation { name, ready: None, desired: None, ..plain.clone() }
        });
        let no_ready = Observation { ready: None, ..plain };
        for observation in [rolling, noted, no_ready].into_iter().chain(odd) {
            assert_eq!(in_words(&observation), None);
            assert_eq!(from_full(&in_full(&observation, str::to_owned)), Some(observation));
        }
    }

    #[test]
    fn words_that_no_ksit_wrote_are_nothing() {
        for words in
            ["", "Deployment", "pod a/b 1/1", "Deployment a/b x/1", "Deployment a/b 1/x", "Deployment a/b 1/1 more"]
        {
            assert_eq!(from_words(words), None, "{words}");
        }
    }
}
