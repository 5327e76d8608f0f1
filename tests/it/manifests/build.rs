//! Builds manifests that an API server accepts from facts: one pause container, one port.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Fixture, Kind, Object};

const IMAGE: &str = "registry.k8s.io/pause:3.10";
const PORT: u16 = 8080;

pub fn namespace(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
}

/// The smallest valid CRD of this name, which is `plural.group`.
pub fn crd(name: &str) -> Value {
    let (plural, group) = name.split_once('.').expect("a CRD's full name");
    // The kind is not used; it only has to be unique in its group.
    let kind = format!("{}{}", plural[..1].to_uppercase(), &plural[1..]);
    // Groups of the Kubernetes project need this annotation.
    let approved = json!({"api-approved.kubernetes.io": "unapproved, for a test"});
    let annotations = if group.ends_with(".k8s.io") { approved } else { json!({}) };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": annotations},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1",
                "served": true,
                "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

pub fn object(fixture: &Fixture, object: &Object) -> Value {
    let metadata = json!({
        "name": object.name,
        "namespace": fixture.namespace_of(object),
        "labels": fixture.labels_of(object),
    });
    let (version, kind, spec) = match object.kind {
        Kind::Deployment => ("apps/v1", "Deployment", replicated(object, &json!({}))),
        // Starts all Pods at once, which makes tests faster.
        Kind::StatefulSet => (
            "apps/v1",
            "StatefulSet",
            replicated(object, &json!({"serviceName": object.name, "podManagementPolicy": "Parallel"})),
        ),
        Kind::DaemonSet => ("apps/v1", "DaemonSet", workload(object)),
        Kind::Service => ("v1", "Service", service(object)),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})
}

fn replicated(object: &Object, more: &Value) -> Value {
    let mut spec = workload(object);
    spec["replicas"] = json!(object.replicas.unwrap_or(1));
    for (key, value) in more.as_object().into_iter().flatten() {
        spec[key] = value.clone();
    }
    spec
}

fn workload(object: &Object) -> Value {
    let pod: BTreeMap<_, _> = object.selector.iter().chain(&object.pod).collect();
    json!({
        "selector": {"matchLabels": object.selector},
        "template": {
            "metadata": {"labels": pod},
            "spec": {"containers": [{"name": "app", "image": IMAGE, "ports": [{"containerPort": PORT}]}]},
        },
    })
}

fn service(object: &Object) -> Value {
    let mut spec = json!({
        "selector": object.selector,
        "ports": [{"name": "app", "port": 80, "targetPort": PORT, "protocol": "TCP"}],
    });
    if let Some(host) = &object.external {
        return json!({"type": "ExternalName", "externalName": host, "ports": spec["ports"]});
    }
    if object.headless {
        spec["clusterIP"] = json!("None");
    }
    spec
}
