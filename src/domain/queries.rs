//! Derives the queries to a target: the union over all components, each once.

use std::collections::BTreeSet;

use super::component::{Component, ComponentKind};
use super::expected::Expected;
use super::snapshot::{Extent, ListKind, ObjectRef, Query, Resource};

/// All queries that tools may need. Some of them [wait](is_waiting).
pub fn first_step<'a>(tools: impl IntoIterator<Item = &'a Expected>) -> BTreeSet<Query> {
    let tools: Vec<&Expected> = tools.into_iter().collect();
    let components = || tools.iter().flat_map(|tool| &tool.components);
    let usual: BTreeSet<&str> = components().map(|component| component.namespace.as_str()).collect();
    let lists = tools.iter().flat_map(|tool| &tool.resources).flat_map(|kind| &kind.lists);
    let managed: Vec<Query> = lists.cloned().map(Query::Managed).collect();
    let discovery = (!managed.is_empty()).then_some(Query::Served);
    components().flat_map(|component| queries_of(component, &usual)).chain(managed).chain(discovery).collect()
}

/// Whether a query of `queries` is sent by the [second step](second_step) only: a list in a namespace that may be
/// absent, which would only cost a watch, or of a kind that the cluster may not have.
pub fn is_waiting(query: &Query, queries: &BTreeSet<Query>) -> bool {
    match query {
        Query::List { namespace, .. } => queries.contains(&Query::Object(ObjectRef::other_namespace(namespace))),
        Query::Managed(_) => true,
        _ => false,
    }
}

/// Queries that depend on answers: the lists of other namespaces, unless these are absent; Endpoints if EndpointSlices
/// are forbidden or unsupported; whether CustomResourceDefinitions are served, if there are any; where discovery does
/// not tell which kinds there are, all managed objects, and an earlier version of those that are not there.
pub fn second_step<'a>(
    queries: &BTreeSet<Query>,
    answers: impl IntoIterator<Item = (&'a Query, Extent)>,
) -> BTreeSet<Query> {
    let mut more = BTreeSet::new();
    // Others are about to be dropped, but for earlier versions of managed objects, which no tool names.
    let is_wanted = |query: &Query| queries.contains(query) || matches!(query, Query::Managed(_));
    for answer in answers.into_iter().filter(|(query, _)| is_wanted(query)) {
        match answer {
            (Query::List { kind: ListKind::EndpointSlice, namespace }, Extent::Forbidden | Extent::Missing) => {
                more.insert(list(ListKind::Endpoints, namespace));
            }
            (Query::Object(ObjectRef { resource: Resource::OtherNamespace, name, .. }), extent)
                if extent != Extent::Missing =>
            {
                let is_in_it = |query: &&Query| matches!(query, Query::List { namespace, .. } if namespace == name);
                more.extend(queries.iter().filter(is_in_it).cloned());
            }
            (Query::Object(ObjectRef { resource: Resource::Crd, .. }), Extent::Something) => {
                more.insert(Query::Served);
            }
            (Query::Served, Extent::Missing) => {
                more.extend(queries.iter().filter(|query| matches!(query, Query::Managed(_))).cloned());
            }
            (Query::Managed(list), Extent::Missing) => {
                more.extend(list.in_earlier_version().map(|earlier| Query::Managed(earlier.into())));
            }
            _ => {}
        }
    }
    more
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

fn queries_of(component: &Component, usual: &BTreeSet<&str>) -> Vec<Query> {
    let mut queries = Vec::new();
    if !component.namespace.is_empty() {
        queries.push(Query::Object(ObjectRef::namespace(&component.namespace)));
    }
    for (kind, namespace, query) in own_queries(component) {
        if kind.is_listed() && !usual.contains(namespace) {
            queries.push(Query::Object(ObjectRef::other_namespace(namespace)));
        }
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
    use std::sync::Arc;

    use crate::domain::managed::{FailWhen, ManagedKind, ManagedList, RuleTexts, Rules};
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
        assert!(queries.contains(&Query::Object(ObjectRef::other_namespace("kube-system"))));
        assert_eq!(queries.len(), 6);
    }

    #[test]
    fn lists_of_other_namespaces_wait_until_these_exist() {
        let agent = Component {
            elsewhere: vec!["edge".to_owned(), "argocd".to_owned()],
            ..Component::required(ComponentKind::Service, "agent", "agents")
        };
        let queries = first_step_of(components().into_iter().chain([agent]).collect());
        let waiting: Vec<_> = queries.iter().filter(|query| is_waiting(query, &queries)).collect();
        let edge = [ListKind::Service, ListKind::EndpointSlice].map(|kind| list(kind, "edge"));
        assert_eq!(waiting, edge.iter().collect::<Vec<_>>(), "argocd is the usual namespace of another component");

        let other = Query::Object(ObjectRef::other_namespace("edge"));
        for (extent, expected) in [
            (Extent::Missing, BTreeSet::new()),
            (Extent::Something, BTreeSet::from(edge.clone())),
            (Extent::Forbidden, BTreeSet::from(edge.clone())),
        ] {
            assert_eq!(second_step(&queries, [(&other, extent)]), expected, "{extent:?}");
        }
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

    #[test]
    fn managed_objects_are_listed_where_discovery_does_not_tell() {
        let rules = Arc::new(Rules::compile(RuleTexts::default()).unwrap());
        let list = |versions: &[&str]| ManagedList {
            kind: "Portal".to_owned(),
            group: "example.com".to_owned(),
            versions: versions.iter().map(|version| (*version).to_owned()).collect(),
            plural: "portals".to_owned(),
            namespace: String::new(),
            rules: rules.clone(),
        };
        let (newest, earlier) = (list(&["v2", "v1"]), list(&["v1"]));
        let kind = ManagedKind {
            kind: "Portal".to_owned(),
            lists: vec![newest.clone().into()],
            fail_when: FailWhen::default(),
        };
        let queries = first_step([&Expected { resources: vec![kind], ..Expected::default() }]);
        let managed = |list: &ManagedList| Query::Managed(list.clone().into());
        assert_eq!(queries, BTreeSet::from([managed(&newest), Query::Served]));
        assert!(is_waiting(&managed(&newest), &queries) && !is_waiting(&Query::Served, &queries));
        let more = |query: &Query, extent| second_step(&queries, [(query, extent)]);
        assert_eq!(more(&Query::Served, Extent::Missing), BTreeSet::from([managed(&newest)]));
        assert_eq!(more(&Query::Served, Extent::Something), BTreeSet::new());
        assert_eq!(more(&managed(&newest), Extent::Missing), BTreeSet::from([managed(&earlier)]));
        assert_eq!(more(&managed(&newest), Extent::Forbidden), BTreeSet::new());
        assert_eq!(more(&managed(&earlier), Extent::Missing), BTreeSet::new());
    }

    fn second_step_of(snapshot: &Snapshot) -> BTreeSet<Query> {
        second_step(
            &snapshot.keys().cloned().collect(),
            snapshot.iter().map(|(query, answer)| (query, answer.extent())),
        )
    }

    #[test]
    fn crds_that_exist_are_looked_for_in_discovery() {
        let crd = Query::Object(ObjectRef::crd("a.example.com"));
        let more = |extent| second_step(&BTreeSet::from([crd.clone()]), [(&crd, extent)]);
        assert_eq!(more(Extent::Something), BTreeSet::from([Query::Served]));
        assert_eq!(more(Extent::Missing), BTreeSet::new());
        assert_eq!(second_step(&BTreeSet::new(), [(&crd, Extent::Something)]), BTreeSet::new(), "no longer asked for");
    }

    #[test]
    fn endpoints_are_queried_if_slices_are_forbidden() {
        let snapshot = Snapshot::from([(list(ListKind::EndpointSlice, "argocd"), Answer::Forbidden)]);
        assert_eq!(second_step_of(&snapshot), BTreeSet::from([list(ListKind::Endpoints, "argocd")]));
    }
}
