//! Derives the queries to a target: the union over all components, each once.

use std::collections::BTreeSet;

use super::component::{Component, ComponentKind};
use super::snapshot::{Extent, ListKind, Query};

/// The queries of a round's first step.
pub fn first_step<'a>(components: impl IntoIterator<Item = &'a Component>) -> BTreeSet<Query> {
    components.into_iter().flat_map(queries_of).collect()
}

/// Queries that depend on answers: Endpoints if EndpointSlices are forbidden or unsupported, and whether a namespace
/// exists if nothing was found in it.
pub fn second_step<'a>(answers: impl IntoIterator<Item = (&'a Query, Extent)>) -> BTreeSet<Query> {
    let mut more = BTreeSet::new();
    let mut empty = BTreeSet::new();
    let mut inhabited = BTreeSet::new();
    for (query, extent) in answers {
        let Query::List { kind, namespace } = query else { continue };
        match (kind, extent) {
            (ListKind::EndpointSlice, Extent::Refused) => drop(more.insert(list(ListKind::Endpoints, namespace))),
            (ListKind::EndpointSlice | ListKind::Endpoints, _) | (_, Extent::Refused) => {}
            (_, Extent::Nothing) => drop(empty.insert(namespace)),
            (_, Extent::Something) => drop(inhabited.insert(namespace)),
        }
    }
    more.extend(empty.difference(&inhabited).map(|name| Query::Namespace { name: (*name).clone() }));
    more
}

pub(super) fn list(kind: ListKind, namespace: &str) -> Query {
    Query::List { kind, namespace: namespace.to_owned() }
}

/// The query whose answer holds the component's own objects.
pub(super) fn own_query(component: &Component) -> Query {
    let kind = match component.kind {
        ComponentKind::Deployment => ListKind::Deployment,
        ComponentKind::StatefulSet => ListKind::StatefulSet,
        ComponentKind::DaemonSet => ListKind::DaemonSet,
        ComponentKind::Service => ListKind::Service,
        ComponentKind::Crd => return Query::Crd { name: crd_name(component).to_owned() },
    };
    list(kind, &component.namespace)
}

/// CRDs are found by name only.
pub(super) fn crd_name(component: &Component) -> &str {
    component.finder.names.first().unwrap_or(&component.name)
}

fn queries_of(component: &Component) -> Vec<Query> {
    let own = own_query(component);
    if component.kind == ComponentKind::Service {
        vec![own, list(ListKind::EndpointSlice, &component.namespace)]
    } else {
        vec![own]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::domain::integrations::{Tool, components_of};
    use crate::domain::snapshot::{Answer, Snapshot, Workload};

    fn argocd() -> Vec<Component> {
        components_of(Tool::named("argocd").unwrap(), &BTreeMap::new()).unwrap()
    }

    #[test]
    fn copies_of_a_tool_share_their_queries() {
        let one = argocd();
        let hundred: Vec<_> = (0..100).flat_map(|_| argocd()).collect();
        assert_eq!(first_step(&one), first_step(&hundred));
        assert!(first_step(&one).contains(&list(ListKind::EndpointSlice, "argocd")));
    }

    fn second_step_of(snapshot: &Snapshot) -> BTreeSet<Query> {
        second_step(snapshot.iter().map(|(query, answer)| (query, answer.extent())))
    }

    #[test]
    fn endpoints_are_queried_if_slices_are_forbidden() {
        let snapshot = Snapshot::from([(list(ListKind::EndpointSlice, "argocd"), Answer::Forbidden)]);
        assert_eq!(second_step_of(&snapshot), BTreeSet::from([list(ListKind::Endpoints, "argocd")]));
    }

    #[test]
    fn namespace_is_queried_only_if_it_seems_empty() {
        let empty = (list(ListKind::Deployment, "argocd"), Answer::Workloads(vec![]));
        let some = (list(ListKind::StatefulSet, "argocd"), Answer::Workloads(vec![Arc::new(Workload::default())]));
        let queries = BTreeSet::from([Query::Namespace { name: "argocd".into() }]);
        assert_eq!(second_step_of(&Snapshot::from([empty.clone()])), queries);
        assert_eq!(second_step_of(&Snapshot::from([empty, some])), BTreeSet::new());
    }
}
