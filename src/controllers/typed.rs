//! Integrations with what their types make of them, again whenever such a type changes.
//!
//! ```text
//! IntegrationTypes ─> Types ─┐
//! Integrations ──────────────┴─> Change<TypedIntegration>
//! ```

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use futures::stream::{self, BoxStream};
use futures::{StreamExt, future};

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

/// Merges both watches. An Integration of a user's type is held back until the types are listed, as it would look
/// invalid until then.
pub(crate) fn typed(
    integrations: BoxStream<'static, Change<Integration>>,
    types: BoxStream<'static, Change<IntegrationType>>,
    on_type: OnType,
) -> BoxStream<'static, Change<TypedIntegration>> {
    let integrations = integrations.map(|change| Some(Seen::Integration(change))).chain(stream::iter([None]));
    let types = types.map(|change| Some(Seen::Type(change))).chain(stream::iter([None]));
    let mut state = State::default();
    stream::select(integrations, types)
        // Either watch ends only with its process.
        .take_while(|seen| future::ready(seen.is_some()))
        .filter_map(future::ready)
        .flat_map(move |seen| {
            match seen {
                Seen::Integration(change) => state.on_integration(change),
                Seen::Type(change) => {
                    if let Change::Applied(object) = &change {
                        on_type(object);
                    }
                    state.on_type(change);
                }
            }
            stream::iter(std::mem::take(&mut state.ready))
        })
        .boxed()
}

enum Seen {
    Integration(Change<Integration>),
    Type(Change<IntegrationType>),
}

#[derive(Default)]
struct State {
    types: convert::Types,
    types_listed: bool,
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
                if is_built_in || self.types_listed {
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

    fn on_type(&mut self, change: Change<IntegrationType>) {
        match change {
            Change::Applied(object) => {
                let key = convert::object_key(&*object);
                if self.types.apply(&object) {
                    self.emit_all_of(|type_key| *type_key == key);
                }
            }
            Change::Deleted(key) => {
                if self.types.remove(&key) {
                    self.emit_all_of(|type_key| *type_key == key);
                }
            }
            Change::Listed(keys) => {
                let first = !std::mem::replace(&mut self.types_listed, true);
                let gone: BTreeSet<ObjectKey> = self.types.retain(|key| keys.contains(key));
                self.emit_all_of(|type_key| first || gone.contains(type_key));
            }
        }
    }

    /// Emits the Integrations whose type `is_meant`, once all types are known.
    fn emit_all_of(&mut self, is_meant: impl Fn(&ObjectKey) -> bool) {
        let of_type = |object: &&Integration| {
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            is_meant(&ObjectKey::new(namespace, object.spec.type_.as_str()))
        };
        let meant: Vec<Integration> = self.own.values().filter(of_type).cloned().collect();
        if self.types_listed {
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
        state.on_type(a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), []);
        state.on_type(Change::Listed([ObjectKey::new("fleet", "backstage.example.com")].into()));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("backstage".to_owned()))]);
    }

    #[test]
    fn change_of_a_type_reaches_its_integrations() {
        let mut state = State::default();
        state.on_type(Change::Listed(BTreeSet::new()));
        state.on_integration(integration("portal", "backstage.example.com"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::UnknownType))]);
        state.on_type(a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("backstage".to_owned()))]);
        state.on_type(a_type("backstage.example.com", "backstage"));
        assert_eq!(told(&mut state), [], "nothing changed");
        state.on_type(a_type("backstage.example.com", "portal"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Ok("portal".to_owned()))]);
        state.on_type(a_type("backstage.example.com", "UPPER"));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::InvalidType))]);
        state.on_type(Change::Deleted(ObjectKey::new("fleet", "backstage.example.com")));
        assert_eq!(told(&mut state), [("portal".to_owned(), Err(Reason::UnknownType))]);
    }
}
