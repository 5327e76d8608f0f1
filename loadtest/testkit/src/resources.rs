//! ksit's resources, untyped: the crates of the harness rely only on the public API.

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

/// The resource of a kind, such as `IntegrationTarget`.
pub fn resource(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("ksit.io", "v1alpha1", kind))
}

/// The objects of a kind in a namespace.
pub fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), namespace, &resource(kind))
}

/// An object to create or apply.
pub fn object(kind: &str, name: &str, spec: Value) -> DynamicObject {
    let mut object = DynamicObject::new(name, &resource(kind));
    object.data = json!({ "spec": spec });
    object
}
