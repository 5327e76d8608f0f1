//! Integrations with what their types make of them, again whenever such a type changes.
//!
//! ```text
//! IntegrationTypes ─ follow_types, once a process ─> SeenTypes ─┐
//! Integrations, of the worker and of the coordinator ───────────┴─> Change<TypedIntegration>
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};
use tokio::sync::watch;

use crate::api::{Integration, IntegrationType, catalogue, convert};
use crate::domain::desired::DesiredIntegration;
use crate::domain::keys::ObjectKey;
use crate::hub::Change;

/// An Integration, and what it asks for.
#[derive(Debug)]
pub(crate) struct TypedIntegration {
    pub(crate) object: Integration,
    pub(crate) desired: DesiredIntegration,
}

/// Sees every type that is created or changed.
pub(crate) type OnType = Box<dyn Fn(&IntegrationType) + Send>;

/// The users' types, as their watch shows them.
#[derive(Clone, Default)]
pub(crate) struct SeenTypes {
    /// The first list is complete.
    listed: bool,
    objects: BTreeMap<ObjectKey, Arc<IntegrationType>>,
}

impl SeenTypes {
    fn apply(&mut self, change: Change<IntegrationType>) {
        match change {
            Change::Applied(object) => drop(self.objects.insert(convert::object_key(&*object), Arc::from(object))),
            Change::Deleted(key) => drop(self.objects.remove(&key)),
            Change::Listed(keys) => {
                self.objects.retain(|key, _| keys.contains(key));
                self.listed = true;
            }
        }
    }
}

/// Publishes the types of the watch. Both roles share it: with many namespaces, each watch is many streams.
pub(crate) async fn follow_types(
    mut types: BoxStream<'static, Change<IntegrationType>>,
    seen: watch::Sender<SeenTypes>,
) {
    while let Some(change) = types.next().await {
        seen.send_modify(|seen| seen.apply(change));
    }
}

/// Adds their types to the Integrations of a watch. An Integration of a user's type is held back until the types are listed, as it would look
/// invalid until then.
pub(crate) fn typed(
    integrations: BoxStream<'static, Change<Integration>>,
    mut types: watch::Receiver<SeenTypes>,
    on_type: OnType,
) -> BoxStream<'static, Change<TypedIntegration>> {
    let integrations = integrations.map(|change| Some(Seen::Integration(change))).chain(stream::iter([None]));
    types.mark_changed();
    let types = stream::unfold(types, |mut types| async {
        types.changed().await.ok()?;
        let seen = types.borrow_and_update().clone();
        Some((Some(Seen::Types(seen)), types))
    });
    let types = types.chain(stream::iter([None]));
    let mut state = State::default();
    stream::select(integrations, types)
        // Either watch ends only with its process.
        .take_while(|seen| future::ready(seen.is_some()))
        .filter_map(future::ready)
        .flat_map(move |seen| {
            match seen {
                Seen::Integration(change) => state.on_integration(change),
                Seen::Types(seen) => state.on_types(&seen, &on_type),
            }
            stream::iter(std::mem::take(&mut state.ready))
        })
        .boxed()
}

enum Seen {
    Integration(Change<Integration>),
    Types(SeenTypes),
}

#[derive(Default)]
struct State {
    seen: SeenTypes,
    types: convert::Types,
    /// Integrations of users' types.
    own: BTreeMap<ObjectKey, Integration>,
    ready: VecDeque<Change<TypedIntegration>>,
}

impl State {
    fn on_integration(&mut self, change: Change<Integration>) {
        match change {
            Change::Applied(object) => {
                let key = convert::object_key(&*object);
                let is_built_in = object.spec.type_ == "custom" || catalogue::tool(&object.spec.type_).is_some();
                if is_built_in {
                    self.own.remove(&key);
                } else {
                    self.own.insert(key, (*object).clone());
                }
                if is_built_in || self.seen.listed {
                    self.emit(*object);
                }
            }
            Change::Deleted(key) => {
                self.own.remove(&key);
                self.ready.push_back(Change::Deleted(key));
            }
            Change::Listed(keys) => {
                self.own.retain(|key, _| keys.contains(key));
                self.ready.push_back(Change::Listed(keys));
            }
        }
    }

    fn on_types(&mut self, seen: &SeenTypes, on_type: &OnType) {
        let mut changed = self.types.retain(|key| seen.objects.contains_key(key));
        for (key, object) in &seen.objects {
            if self.seen.objects.get(key).is_some_and(|former| Arc::ptr_eq(former, object)) {
                continue;
            }
            on_type(object);
            if self.types.apply(object) {
                changed.insert(key.clone());
            }
        }
        let first = seen.listed && !self.seen.listed;
        self.seen = seen.clone();
        self.emit_all_of(|type_key| first || changed.contains(type_key));
    }

    /// Emits the Integrations whose type `is_meant`, once all types are known.
    fn emit_all_of(&mut self, is_meant: impl Fn(&ObjectKey) -> bool) {
        let of_type = |object: &&Integration| {
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            is_meant(&ObjectKey::new(namespace, object.spec.type_.as_str()))
        };
        let meant: Vec<Integration> = self.own.values().filter(of_type).cloned().collect();
        if self.seen.listed {
            meant.into_iter().for_each(|object| self.emit(object));
        }
    }

    fn emit(&mut self, object: Integration) {
        let desired = convert::integration(&object, &self.types);
        self.ready.push_back(Change::Applied(Box::new(TypedIntegration { object, desired })));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;
    use crate::domain::reason::Reason;

    fn integration(name: &str, type_name: &str) -> Change<Integration> {
        let object = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "Integration",
            "metadata": {"name": name, "namespace": "fleet"}, "spec": {"type": type_name}});
        Change::Applied(Box::new(serde_json::from_value(object).unwrap()))
    }

    fn a_type(name: &str, component: &str) -> Change<IntegrationType> {
        let object = json!({"apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationType",
            "metadata": {"name": name, "namespace": "fleet"},
            "spec": {"title": "T", "namespace": "t", "components": [{"kind": "Deployment", "name": component}]}});
        Change::Applied(Box::new(serde_json::from_value(object).unwrap()))
    }

    fn on_type(state: &mut State, change: Change<IntegrationType>) {
        let mut seen = state.seen.clone();
        seen.apply(change);
        state.on_types(&seen, &(Box::new(|_: &IntegrationType| {}) as OnType));
    }

    /// Name of the Integration, and its first component or the reason against it.
    fn told(state: &mut State) -> Vec<(String, Result<String, Reason>)> {
        let told = std::mem::take(&mut state.ready).into_iter().filter_map(|change| match change {
            Change::Applied(typed) => {
                let expected = typed.desired.expected;
                let first = expected.map(|expected| expected.components[0].name.clone());
                Some((typed.desired.key.name().to_owned(), first.map_err(|failure| failure.reason)))
            }
            _ => None,
        });
        told.collect()
    }

    #[test]
    fn integration_waits_for_the_list_of_types() {
        let mut state = State::default();
        state.on_integration(integration("cd", "argocd"));
        state.on_integration(integration("portal", "backstage.example.com"));
        assert_eq!(told(&mut state), [("cd".to_owned(), Ok("argocd-server".to_owned()))]);
        on_type(&mut state, a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), []);
        on_type(&mut state, Change::Listed([ObjectKey::new("fleet", "backstage.example.com")].into()));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("backstage".to_owned()))]);
    }

    #[test]
    fn change_of_a_type_reaches_its_integrations() {
        let mut state = State::default();
        on_type(&mut state, Change::Listed(BTreeSet::new()));
        state.on_integration(integration("portal", "backstage.example.com"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::UnknownType))]);
        on_type(&mut state, a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("backstage".to_owned()))]);
        on_type(&mut state, a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), [], "nothing changed");
        on_type(&mut state, a_type("backstage.example.com", "portal"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("portal".to_owned()))]);
        on_type(&mut state, a_type("backstage.example.com", "UPPER"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::InvalidType))]);
        on_type(&mut state, Change::Deleted(ObjectKey::new("fleet", "backstage.example.com")));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::UnknownType))]);
    }
}
