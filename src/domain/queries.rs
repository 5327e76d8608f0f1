//! Derives the queries to a target: the union over all components, each once.

use std::collections::BTreeSet;

use super::component::{Component, ComponentKind};
use super::expected::Expected;
use super::snapshot::{Extent, ListKind, ObjectRef, Query, Resource};

/// The queries of a round's first step.
pub fn first_step<'a>(tools: impl IntoIterator<Item = &'a Expected>) -> BTreeSet<Query> {
    let of_tool = |tool: &Expected| {
        let lists = tool.resources.iter().flat_map(|kind| kind.lists.iter().cloned().map(Query::Managed));
        tool.components.iter().flat_map(queries_of).chain(lists).collect::<Vec<_>>()
    };
    tools.into_iter().flat_map(of_tool).collect()
}

/// Queries that depend on answers: Endpoints if EndpointSlices are forbidden or unsupported, and an earlier version of
/// managed objects if the cluster does not serve the newest one.
pub fn second_step<'a>(answers: impl IntoIterator<Item = (&'a Query, Extent)>) -> BTreeSet<Query> {
    let refused = answers.into_iter().filter_map(|(query, extent)| match (query, extent) {
        (Query::List { kind: ListKind::EndpointSlice, namespace }, Extent::Refused) => {
            Some(list(ListKind::Endpoints, namespace))
        }
        (Query::Managed(list), Extent::Refused) => Some(Query::Managed(list.in_earlier_version()?.into())),
        _ => None,
    });
    refused.collect()
}

pub(super) fn list(kind: ListKind, namespace: &str) -> Query {
    Query::List { kind, namespace: namespace.to_owned() }
}

/// The queries whose answers hold the component's own objects, by kind and namespace.
pub(super) fn own_queries(component: &Component) -> impl Iterator<Item = (ComponentKind, &str, Query)> {
    let in_namespaces = move |kind: ComponentKind| {
        component.namespaces().map(move |namespace| (kind, namespace, own_query(component, kind, namespace)))
    };
    component.kinds().flat_map(in_namespaces)
}

fn own_query(component: &Component, kind: ComponentKind, namespace: &str) -> Query {
    let resource = match kind {
        ComponentKind::Deployment => return list(ListKind::Deployment, namespace),
        ComponentKind::StatefulSet => return list(ListKind::StatefulSet, namespace),
        ComponentKind::DaemonSet => return list(ListKind::DaemonSet, namespace),
        ComponentKind::Service => return list(ListKind::Service, namespace),
        ComponentKind::Crd => Resource::Crd,
        ComponentKind::ApiService => Resource::ApiService,
        ComponentKind::ValidatingWebhook => Resource::ValidatingWebhook,
        ComponentKind::MutatingWebhook => Resource::MutatingWebhook,
        ComponentKind::Other(kind) => other(component.api_version.as_deref().unwrap_or("v1"), kind.as_str()),
    };
    let name = component.object_name().to_owned();
    Query::Object(ObjectRef { resource, namespace: namespace.to_owned(), name })
}

/// The resource of a kind, by the rule with which most plurals are made.
fn other(api_version: &str, kind: &str) -> Resource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    Resource::Other { group: group.to_owned(), version: version.to_owned(), plural: plural(kind) }
}

/// `Policy` → `policies`, `Ingress` → `ingresses`, `Gateway` → `gateways`.
pub fn plural(kind: &str) -> String {
    let word = kind.to_ascii_lowercase();
    let hisses = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if hisses => word + "es",
        _ => word + "s",
    }
}

fn queries_of(component: &Component) -> Vec<Query> {
    let mut queries = Vec::new();
    if !component.namespace.is_empty() {
        queries.push(Query::Object(ObjectRef::namespace(&component.namespace)));
    }
    for (kind, namespace, query) in own_queries(component) {
        if kind == ComponentKind::Service {
            queries.push(list(ListKind::EndpointSlice, namespace));
        }
        queries.push(query);
    }
    queries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::snapshot::{Answer, Snapshot};

    fn first_step_of(components: Vec<Component>) -> BTreeSet<Query> {
        first_step([&components.into()])
    }

    fn components() -> Vec<Component> {
        use ComponentKind::{Deployment, Service};
        [Deployment, Service].map(|kind| Component::required(kind, "server", "argocd")).into()
    }

    #[test]
    fn copies_of_a_tool_share_their_queries() {
        let one = components();
        let hundred: Vec<_> = (0..100).flat_map(|_| components()).collect();
        assert_eq!(first_step_of(one.clone()), first_step_of(hundred));
        assert!(first_step_of(one).contains(&list(ListKind::EndpointSlice, "argocd")));
    }

    #[test]
    fn every_kind_is_looked_for_in_every_namespace() {
        let component = Component {
            or_kinds: vec![ComponentKind::DaemonSet],
            elsewhere: vec!["kube-system".to_owned()],
            ..Component::required(ComponentKind::Deployment, "agent", "agents")
        };
        let queries = first_step_of(vec![component]);
        for kind in [ListKind::Deployment, ListKind::DaemonSet] {
            for namespace in ["agents", "kube-system"] {
                assert!(queries.contains(&list(kind, namespace)), "{queries:?}");
            }
        }
        assert!(queries.contains(&Query::Object(ObjectRef::namespace("agents"))));
        assert_eq!(queries.len(), 5);
    }

    #[test]
    fn plural_follows_the_usual_rule() {
        let rows = [
            ("BackupStorageLocation", "backupstoragelocations"),
            ("ClusterPolicy", "clusterpolicies"),
            ("Ingress", "ingresses"),
            ("Gateway", "gateways"),
            ("Mesh", "meshes"),
        ];
        for (kind, expected) in rows {
            assert_eq!(plural(kind), expected);
        }
    }

    fn second_step_of(snapshot: &Snapshot) -> BTreeSet<Query> {
        second_step(snapshot.iter().map(|(query, answer)| (query, answer.extent())))
    }

    #[test]
    fn endpoints_are_queried_if_slices_are_forbidden() {
        let snapshot = Snapshot::from([(list(ListKind::EndpointSlice, "argocd"), Answer::Forbidden)]);
        assert_eq!(second_step_of(&snapshot), BTreeSet::from([list(ListKind::Endpoints, "argocd")]));
    }
}
