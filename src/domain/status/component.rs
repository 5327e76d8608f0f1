//! Components in the status of a target: in full, or in a few words where these hold everything.
//!
//! Most components of most clusters are healthy. In full each of them is six fields of JSON, which the hub copies and
//! encodes again for every client that lists targets; in a few words it is one.

use std::borrow::Cow;

use jiff::Timestamp;

use super::text::cut;
use super::{Fields, ToolStatus};
use crate::domain::component::SeenKind;
use crate::domain::escape::escape;
use crate::domain::verdict::{ComponentState, Observation};

/// A component in full. `kind` and `state` are as stored, so that those of another version are compared as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentLine {
    /// Such as `Deployment`.
    pub kind: String,
    /// `None` for a cluster-scoped object.
    pub namespace: Option<String>,
    /// Name of the object, or of the component if none was found.
    pub name: String,
    /// A [`ComponentState`] as it is spelt.
    pub state: String,
    /// Ready Pods or endpoints.
    pub ready: Option<u32>,
    /// Desired Pods.
    pub desired: Option<u32>,
    /// Time since which it has not been healthy.
    pub since: Option<Timestamp>,
    /// The cause and the remedy, or a remark.
    pub message: Option<String>,
}

impl ComponentLine {
    pub(super) fn add_to(&self, fields: &mut Fields) {
        let Self { kind, namespace, name, state, ready, desired, since: _, message } = self;
        let number = |number: &Option<u32>| number.map(|number| number.to_string());
        fields.add(Some("component")).add(Some(kind.as_str())).add(namespace.as_deref()).add(Some(name.as_str()));
        fields.add(Some(state.as_str())).add(number(ready)).add(number(desired)).add(message.as_deref());
    }

    fn of(seen: &Observation) -> Self {
        let Observation { kind, namespace, name, state, ready, desired, since, message } = seen;
        Self {
            kind: kind.as_str().to_owned(),
            namespace: (!namespace.is_empty()).then(|| namespace.clone()),
            name: name.clone(),
            state: state.as_str().to_owned(),
            ready: *ready,
            desired: *desired,
            since: *since,
            message: message.as_deref().map(cut),
        }
    }

    fn observation(&self) -> Option<Observation> {
        Some(Observation {
            kind: SeenKind::read(&self.kind)?,
            namespace: self.namespace.clone().unwrap_or_default(),
            name: self.name.clone(),
            state: ComponentState::read(&self.state)?,
            ready: self.ready,
            desired: self.desired,
            since: self.since,
            message: self.message.clone(),
        })
    }
}

/// Adds the observations to the status of their tool: unhealthy ones first.
pub(super) fn add_components(tool: &mut ToolStatus, observations: &[Observation]) {
    let mut observations: Vec<&Observation> = observations.iter().collect();
    observations.sort_by_key(|seen| seen.state.is_healthy() || seen.state == ComponentState::NotInUse);
    for seen in observations {
        let seen = escaped(seen);
        match in_words(&seen) {
            Some(words) => tool.healthy_components.push(words),
            None => tool.components.push(ComponentLine::of(&seen)),
        }
    }
}

/// The observations that the status of a tool was made from; `None` for each that can't be read.
pub fn observations(tool: &ToolStatus) -> impl Iterator<Item = Option<Observation>> {
    let in_few_words = tool.healthy_components.iter().map(|words| from_words(words));
    tool.components.iter().map(ComponentLine::observation).chain(in_few_words)
}

/// Names in an Integration that is older than the CRD's pattern may hold control characters.
fn escaped(seen: &Observation) -> Cow<'_, Observation> {
    match (escape(&seen.namespace), escape(&seen.name)) {
        (Cow::Borrowed(_), Cow::Borrowed(_)) => Cow::Borrowed(seen),
        (namespace, name) => {
            let (namespace, name) = (namespace.into_owned(), name.into_owned());
            Cow::Owned(Observation { namespace, name, ..seen.clone() })
        }
    }
}

/// `Deployment argocd/argocd-server 1/1`, `Service argocd/argocd-server 2`, `CustomResourceDefinition issuers.acme.io`.
/// `None` if this would lose something.
fn in_words(seen: &Observation) -> Option<String> {
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
    // The cluster chooses the names: they may hold spaces and slashes.
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
        since: None,
        message: None,
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
            since: None,
            message: None,
        }
    }

    #[test]
    fn healthy_component_is_a_few_words_and_read_back() {
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
    fn component_that_needs_more_words_is_in_full() {
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
            assert_eq!(ComponentLine::of(&observation).observation(), Some(observation));
        }
    }

    #[test]
    fn words_that_ksit_never_writes_are_refused() {
        for words in
            ["", "Deployment", "pod a/b 1/1", "Deployment a/b x/1", "Deployment a/b 1/x", "Deployment a/b 1/1 more"]
        {
            assert_eq!(from_words(words), None, "{words}");
        }
    }
}
