//! Every component of every tool finds exactly the expected objects in every install.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use ksit::domain::component::{Component, ComponentKind, Presence};
use ksit::domain::integrations::{TOOLS, Tool, components_of};
use serde_json::Value;

use super::{Fixture, Kind, Object, all};

fn components(fixture: &Fixture) -> Vec<Component> {
    let tool = Tool::named(&fixture.tool).expect("a built-in tool");
    components_of(tool, &fixture.config).unwrap_or_else(|error| panic!("{}: {error}", fixture.title()))
}

/// Sorted names of the objects that the component finds.
fn found(fixture: &Fixture, component: &Component) -> Vec<String> {
    let kind = match component.kind {
        ComponentKind::Crd => {
            let finds = |name: &&String| component.finder.matches_name(name);
            return fixture.crds.iter().filter(finds).cloned().collect();
        }
        ComponentKind::Deployment => Kind::Deployment,
        ComponentKind::StatefulSet => Kind::StatefulSet,
        ComponentKind::DaemonSet => Kind::DaemonSet,
        ComponentKind::Service => Kind::Service,
    };
    let here = |object: &&Object| object.kind == kind && fixture.namespace_of(object) == component.namespace;
    let objects: Vec<(&str, BTreeMap<String, String>)> =
        fixture.objects.iter().filter(here).map(|object| (object.name.as_str(), fixture.labels_of(object))).collect();
    let mut names: Vec<String> =
        component.finder.pick(&objects, |o| o.0, |o| &o.1).into_iter().map(|o| o.0.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn components_find_exactly_the_expected_objects() {
    for fixture in all() {
        let mut actual = BTreeMap::new();
        for component in components(&fixture) {
            let names = found(&fixture, &component);
            let title = format!("{}/{}", component.kind, component.name);
            if component.presence == Presence::Required {
                assert!(!names.is_empty(), "{}: {title} is required and finds nothing", fixture.title());
            }
            actual.insert(title, names);
        }
        // Components that the fixture's config ignores find nothing, and are in the fixture too.
        for part in Tool::named(&fixture.tool).expect("a built-in tool").parts {
            actual.entry(format!("{}/{}", part.kind, part.name)).or_default();
        }
        assert_eq!(actual, fixture.found, "{}", fixture.title());
    }
}

#[test]
fn official_install_without_labels_is_found_by_name() {
    for fixture in all().into_iter().filter(|fixture| !fixture.version.starts_with("chart")) {
        for mut component in components(&fixture).into_iter().filter(|c| c.presence == Presence::Required) {
            component.finder.labels.clear();
            assert!(!found(&fixture, &component).is_empty(), "{}: {}", fixture.title(), component.name);
        }
    }
}

#[test]
fn every_tool_has_two_official_versions_and_a_chart() {
    let fixtures = all();
    for tool in TOOLS {
        let of_tool: Vec<&Fixture> = fixtures.iter().filter(|fixture| fixture.tool == tool.name).collect();
        let (charts, official): (Vec<&Fixture>, Vec<&Fixture>) =
            of_tool.iter().partition(|fixture| fixture.version.starts_with("chart"));
        let versions: BTreeSet<&str> = official.iter().map(|fixture| fixture.version.as_str()).collect();
        assert!(versions.len() >= 2, "{}: {versions:?}", tool.name);
        assert!(!charts.is_empty(), "{}", tool.name);
        let names: BTreeSet<&str> = of_tool.iter().map(|fixture| fixture.name.as_str()).collect();
        assert_eq!(names.len(), of_tool.len(), "{}: two fixtures with the same name", tool.name);
        assert!(of_tool.iter().all(|fixture| fixture.source.starts_with("https://")));
    }
}

/// Parses an object as its kind and back, which reveals a misspelt field.
fn assert_round_trips(object: &Value) {
    fn same<T: serde::Serialize + serde::de::DeserializeOwned>(object: &Value) {
        let typed: T = serde_json::from_value(object.clone()).expect("the kind's own shape");
        assert_eq!(&serde_json::to_value(typed).expect("JSON"), object);
    }
    match object["kind"].as_str() {
        Some("Deployment") => same::<Deployment>(object),
        Some("StatefulSet") => same::<StatefulSet>(object),
        Some("DaemonSet") => same::<DaemonSet>(object),
        Some("Service") => same::<Service>(object),
        Some("CustomResourceDefinition") => same::<CustomResourceDefinition>(object),
        other => assert_eq!(other, Some("Namespace")),
    }
}

#[test]
fn manifests_are_well_formed_and_unique() {
    for fixture in all() {
        let mut keys = BTreeSet::new();
        for object in fixture.objects() {
            assert_round_trips(&object);
            let key = ["/kind", "/metadata/namespace", "/metadata/name"].map(|path| object.pointer(path).cloned());
            assert!(keys.insert(format!("{key:?}")), "{}: {key:?} twice", fixture.title());
        }
    }
}

#[test]
fn checked_services_select_a_workload() {
    for fixture in all() {
        for component in components(&fixture).iter().filter(|c| c.kind == ComponentKind::Service) {
            for name in found(&fixture, component) {
                let is_it = |object: &&Object| object.kind == Kind::Service && object.name == name;
                let service = fixture.objects.iter().find(is_it).expect("the Service that was found");
                let selected = |object: &Object| {
                    let carries = |(key, value): (&String, &String)| {
                        object.selector.get(key).or_else(|| object.pod.get(key)) == Some(value)
                    };
                    object.kind != Kind::Service
                        && fixture.namespace_of(object) == fixture.namespace_of(service)
                        && service.selector.iter().all(carries)
                };
                assert!(fixture.objects.iter().any(selected), "{}: {name}", fixture.title());
            }
        }
    }
}
