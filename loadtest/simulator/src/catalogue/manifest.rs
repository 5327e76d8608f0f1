//! The objects of simulated clusters, as manifests for a real API server.

use serde_json::Value;

use super::{Catalogue, Component, FIRST_VERSION, Kind, Text};

/// One object, healthy and broken.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The component that the object is.
    pub component: Component,
    /// The object with a status in which everything is ready.
    pub healthy: Value,
    /// The same object with a status in which nothing is ready.
    pub broken: Value,
}

/// All objects except the Namespaces.
pub fn manifests() -> Vec<Manifest> {
    let objects = Catalogue::new().objects.into_iter().filter(|object| object.component.kind != Kind::Namespace);
    objects
        .map(|object| Manifest {
            component: object.component,
            healthy: manifest(object.component, &object.healthy),
            broken: manifest(object.component, &object.broken),
        })
        .collect()
}

/// The object without the fields that an API server sets.
fn manifest(component: Component, text: &Text) -> Value {
    let mut json = String::new();
    text.whole(component.kind.as_str(), component.kind.api_version(), FIRST_VERSION, &mut json);
    let mut object: Value = serde_json::from_str(&json).unwrap_or_default();
    let server_set = ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"];
    remove(&mut object["metadata"], &server_set);
    if component.kind == Kind::Service {
        remove(&mut object["spec"], &["clusterIP", "clusterIPs"]);
    }
    object
}

fn remove(value: &mut Value, fields: &[&str]) {
    if let Some(map) = value.as_object_mut() {
        fields.iter().for_each(|field| drop(map.remove(*field)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_have_kinds_and_no_server_set_fields() {
        let all = manifests();
        assert!(all.iter().any(|manifest| manifest.component.kind == Kind::Crd));
        for Manifest { component, healthy, broken } in all {
            assert_eq!(healthy["kind"], component.kind.as_str());
            assert_eq!(healthy["metadata"], broken["metadata"]);
            assert!(healthy["metadata"]["name"].is_string() && healthy["metadata"]["uid"].is_null());
            assert!(healthy["spec"]["clusterIP"].is_null());
        }
    }
}
