//! URLs of requests to a target, from checked names only.

use std::fmt::Write;

use super::listed::Listed;
use crate::domain::snapshot::{ObjectRef, Query};

pub(super) fn watch_path(listed: &Listed, namespace: &str, version: Option<&str>, seconds: u64) -> String {
    let path = format!("{}?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}", list_path(listed, namespace));
    match version {
        Some(version) => with_parameter(path, "resourceVersion", version),
        None => path + "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
    }
}
pub(super) fn list_path(listed: &Listed, namespace: &str) -> String {
    path(listed.resource(), namespace)
}

pub(super) fn object_path(object: &ObjectRef) -> String {
    format!("{}/{}", path(object.resource.path(), &object.namespace), object.name)
}

/// Path of a collection; `namespace` is empty for cluster-scoped kinds.
pub(super) fn path((group, version, plural): (&str, &str, &str), namespace: &str) -> String {
    let api = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match namespace {
        "" => format!("{api}/{plural}"),
        namespace => format!("{api}/namespaces/{namespace}/{plural}"),
    }
}

/// Appends a parameter to a path that has a query already.
pub(super) fn with_parameter(mut path: String, name: &str, value: &str) -> String {
    // Writing into a String can't fail.
    let _ = write!(path, "&{name}=");
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path
}

/// Whether the name is valid, and so can't alter the path.
pub(super) fn has_valid_name(query: &Query) -> bool {
    match query {
        Query::List { namespace, .. } | Query::Pods { namespace, .. } => is_label(namespace),
        Query::Managed(list) => is_collection(list.resource(), &list.namespace),
        Query::Served => true,
        Query::Object(ObjectRef { resource, namespace, name }) => {
            is_subdomain(name) && is_collection(resource.path(), namespace)
        }
    }
}

fn is_collection((group, version, plural): (&str, &str, &str), namespace: &str) -> bool {
    (namespace.is_empty() || is_label(namespace))
        && (group.is_empty() || is_subdomain(group))
        && is_label(version)
        && is_label(plural)
}

fn is_subdomain(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A DNS label (RFC 1123), as Kubernetes requires of names.
fn is_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::ListKind;

    #[test]
    fn name_can_not_become_another_path() {
        for name in ["..", ".", "", "a/b", "a?b", "a#b", "a%2fb", "A", "-a", "a-", "ä", &"a".repeat(64)] {
            assert!(!has_valid_name(&Query::Object(ObjectRef::namespace(name))), "{name}");
            let inside = ObjectRef { namespace: name.to_owned(), ..ObjectRef::crd("a") };
            assert!(!has_valid_name(&Query::Object(inside)) || name.is_empty(), "{name}");
        }
        assert!(has_valid_name(&Query::Object(ObjectRef::namespace("argo-cd-2"))));
        assert!(has_valid_name(&Query::Object(ObjectRef::crd("gateways.networking.istio.io"))));
        for name in ["gateways..io", "../../secrets"] {
            assert!(!has_valid_name(&Query::Object(ObjectRef::crd(name))), "{name}");
        }
    }

    #[test]
    fn urls_follow_the_kubernetes_api() {
        assert_eq!(list_path(&ListKind::Deployment.into(), "argocd"), "/apis/apps/v1/namespaces/argocd/deployments");
        assert_eq!(
            with_parameter(
                format!("{}?limit=1", list_path(&ListKind::Service.into(), "a")),
                "continue",
                "x/y+z=&&\r\n"
            ),
            "/api/v1/namespaces/a/services?limit=1&continue=x%2Fy%2Bz%3D%26%26%0D%0A"
        );
        assert_eq!(
            watch_path(&ListKind::Service.into(), "a", Some("7"), 300),
            "/api/v1/namespaces/a/services?watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=7"
        );
    }
}
