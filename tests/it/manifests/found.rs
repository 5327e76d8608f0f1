//! Every component of every tool finds exactly the expected objects in every install.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use ksit::api::catalogue;
use ksit::domain::component::{Component, ComponentKind, Presence};
use ksit::domain::expected::{Expected, Profile};
use ksit::domain::integrations::expected_of;
use serde_json::Value;

use super::{Fixture, Kind, Object, all};

fn expected(fixture: &Fixture) -> Expected {
    let tool = catalogue::tool(&fixture.tool).expect("a built-in tool");
    expected_of(tool, &fixture.config).unwrap_or_else(|error| panic!("{}: {error}", fixture.title()))
}

fn components(fixture: &Fixture) -> Vec<Component> {
    expected(fixture).components
}

/// Components that are found in what the fixtures hold.
fn is_in_fixtures(kind: ComponentKind) -> bool {
    kind.is_listed() || kind == ComponentKind::Crd
}

/// Sorted names of the objects that the component finds.
fn found(fixture: &Fixture, component: &Component) -> Vec<String> {
    if component.kind == ComponentKind::Crd {
        return fixture.crds.iter().filter(|name| component.finder.matches_name(name)).cloned().collect();
    }
    let is_here = |object: &Object| {
        component.kinds().any(|kind| kind.as_str() == object.kind.as_str())
            && component.namespaces().any(|namespace| namespace == fixture.namespace_of(object))
    };
    let here = fixture.objects.iter().filter(|object| is_here(object));
    let objects: Vec<(&str, BTreeMap<String, String>)> =
        here.map(|object| (object.name.as_str(), fixture.labels_of(object))).collect();
    let picked = component.finder.pick(objects.iter(), |object| object.0, |object| &object.1);
    let mut names: Vec<String> = picked.into_iter().map(|object| object.0.to_owned()).collect();
    names.sort();
    names
}

#[test]
fn components_find_exactly_the_expected_objects() {
    for fixture in all() {
        let expected = expected(&fixture);
        let (mut actual, mut missing) = (BTreeMap::new(), Vec::new());
        for component in expected.components.iter().filter(|component| is_in_fixtures(component.kind)) {
            let names = found(&fixture, component);
            if component.presence == Presence::Required && names.is_empty() {
                missing.push(component);
            }
            actual.insert(format!("{}/{}", component.kind, component.name), names);
        }
        let explains = |profile: &Profile| missing.iter().all(|component| profile.lacks(component));
        assert!(
            missing.is_empty() || expected.profiles.iter().any(explains),
            "{}: {:?} are required, and no profile explains their absence",
            fixture.title(),
            missing.iter().map(|component| &component.name).collect::<Vec<_>>()
        );
        // Components that the fixture's config ignores find nothing, and are in the fixture too.
        let parts = &catalogue::tool(&fixture.tool).expect("a built-in tool").parts;
        for part in parts.iter().filter(|part| is_in_fixtures(part.kind)) {
            actual.entry(format!("{}/{}", part.kind, part.name)).or_default();
        }
        assert_eq!(actual, fixture.found, "{}", fixture.title());
    }
}

#[test]
fn official_install_without_labels_is_found_by_name() {
    for fixture in all().into_iter().filter(|fixture| !fixture.version.starts_with("chart")) {
        let is_named = |component: &Component| {
            component.presence == Presence::Required
                && is_in_fixtures(component.kind)
                && !found(&fixture, component).is_empty()
        };
        for mut component in components(&fixture).into_iter().filter(is_named) {
            component.finder.labels.clear();
            assert!(!found(&fixture, &component).is_empty(), "{}: {}", fixture.title(), component.name);
        }
    }
}

#[test]
fn every_tool_has_two_official_versions_and_a_chart() {
    let fixtures = all();
    for tool in catalogue::tools() {
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
                if service.external.is_some() {
                    continue;
                }
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
