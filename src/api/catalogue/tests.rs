//! Tests of valid and invalid `spec.config`.

use std::collections::BTreeMap;

use super::*;
use crate::domain::component::{Component, ComponentKind, Finder, MinReady, Presence};
use crate::domain::integrations::{WITHOUT_EFFECT, expected_of, names};
use crate::domain::queries::{first_step, is_waiting};
use crate::domain::snapshot::{ListKind, Query};

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn components(name: &str, pairs: &[(&str, &str)]) -> Vec<Component> {
    expected_of(tool(name).unwrap(), &config(pairs)).expect("a valid config").components
}

fn refused(name: &str, pairs: &[(&str, &str)]) -> String {
    expected_of(tool(name).unwrap(), &config(pairs)).expect_err("an invalid config").to_string()
}

fn of<'c>(components: &'c [Component], kind: ComponentKind, name: &str) -> &'c Component {
    components.iter().find(|component| component.kind == kind && component.name == name).expect("the component")
}

#[test]
fn tool_without_config_has_its_usual_namespace() {
    for (name, namespace) in
        [("argocd", "argocd"), ("flux", "flux-system"), ("prometheus", "monitoring"), ("istio", "istio-system")]
    {
        for component in components(name, &[("namespace", "")]) {
            let expected = if component.kind.is_cluster_scoped() { "" } else { namespace };
            assert_eq!(component.namespace, expected, "{name}: {}", component.name);
        }
    }
}

#[test]
fn component_may_have_its_own_namespace() {
    let found = components("istio", &[("namespace", "mesh"), ("namespace.istio-ingressgateway", "edge")]);
    assert_eq!(of(&found, ComponentKind::Deployment, "istiod").namespace, "mesh");
    assert_eq!(of(&found, ComponentKind::Deployment, "istio-ingressgateway").namespace, "edge");
}

#[test]
fn configured_name_replaces_labels() {
    let found = components("argocd", &[("name.argocd-server", "front")]);
    for kind in [ComponentKind::Deployment, ComponentKind::Service] {
        assert_eq!(of(&found, kind, "argocd-server").finder, Finder::by_name("front"));
    }
    assert!(!of(&found, ComponentKind::Deployment, "argocd-repo-server").finder.labels.is_empty());
}

#[test]
fn key_with_kind_overrides_the_shared_name() {
    let found = components(
        "argocd",
        &[("minReady", "2"), ("minReady.argocd-server", "3"), ("minReady.service/argocd-server", "4")],
    );
    assert_eq!(
        of(&found, ComponentKind::StatefulSet, "argocd-application-controller").min_ready,
        Some(MinReady::Pods(2))
    );
    assert_eq!(of(&found, ComponentKind::Deployment, "argocd-server").min_ready, Some(MinReady::Pods(3)));
    assert_eq!(of(&found, ComponentKind::Service, "argocd-server").min_ready, Some(MinReady::Pods(4)));
}

#[test]
fn lists_set_required_optional_and_ignored() {
    let found = components(
        "prometheus",
        &[("required", "grafana, node-exporter,"), ("optional", "alertmanager"), ("ignore", "kube-state-metrics")],
    );
    assert_eq!(of(&found, ComponentKind::Deployment, "grafana").presence, Presence::Required);
    assert_eq!(of(&found, ComponentKind::DaemonSet, "node-exporter").presence, Presence::Required);
    assert_eq!(of(&found, ComponentKind::StatefulSet, "alertmanager").presence, Presence::Optional);
    assert!(found.iter().all(|component| component.name != "kube-state-metrics"));
}

#[test]
fn one_of_several_kinds_can_be_required() {
    let controller = "argocd-application-controller";
    let found = components(
        "argocd",
        &[
            ("required", "Deployment/argocd-application-controller"),
            ("ignore", "StatefulSet/argocd-application-controller"),
        ],
    );
    assert_eq!(of(&found, ComponentKind::Deployment, controller).presence, Presence::Required);
    assert!(found.iter().all(|component| component.kind != ComponentKind::StatefulSet || component.name != controller));
}

#[test]
fn go_toolkit_keys_are_accepted_without_effect() {
    let toolkit: Vec<(&str, &str)> = WITHOUT_EFFECT.iter().map(|key| (*key, "anything")).collect();
    for name in ["argocd", "flux", "prometheus", "istio"] {
        assert_eq!(components(name, &toolkit), components(name, &[]));
    }
}

#[test]
fn unknown_key_error_has_a_suggestion_and_the_keys() {
    let message = refused("argocd", &[("namespce", "x")]);
    for part in ["\"namespce\"", "did you mean \"namespace\"?", "minReady.<component>", "argocd-repo-server"] {
        assert!(message.contains(part), "{message}");
    }
    assert!(!refused("argocd", &[("password", "hunter2")]).contains("hunter2"));
    for key in ["minReady.", "namespace.", "name.", "name", "required.", "required.argocd-server", "", ".", "URL "] {
        refused("argocd", &[(key, "1")]);
    }
}

#[test]
fn unknown_component_error_has_a_suggestion_and_the_names() {
    for (key, value) in [("required", "argocd-sever"), ("namespace.argocd-sever", "x"), ("name.argocd-sever", "x")] {
        let message = refused("argocd", &[(key, value)]);
        for part in [key, "\"argocd-sever\"", "did you mean \"argocd-server\"?", "argocd-redis"] {
            assert!(message.contains(part), "{message}");
        }
    }
    let message = refused("argocd", &[("ignore", "DaemonSet/argocd-server")]);
    assert!(message.contains("DaemonSet/argocd-server") && !message.contains("did you mean"), "{message}");
}

#[test]
fn bad_value_error_has_the_expectation() {
    for value in ["0", "-1", "1.5", "two", "", " 1", "4294967296"] {
        let message = refused("flux", &[("minReady", value)]);
        assert!(message.contains("\"minReady\"") && message.contains("1 or more"), "{message}");
    }
    for (key, value) in [
        ("namespace", "Argo"),
        ("namespace.source-controller", ""),
        ("namespace.source-controller", "a.b"),
        ("name.source-controller", "a/../b"),
    ] {
        let message = refused("flux", &[(key, value)]);
        assert!(message.contains(key) && message.contains("lower-case"), "{message}");
    }
    let message = refused("istio", &[("namespace.gateways.networking.istio.io", "x")]);
    assert!(message.contains("has no meaning"), "{message}");
}

#[test]
fn contradictory_lists_are_rejected() {
    let message = refused("flux", &[("required", "helm-controller"), ("ignore", "helm-controller")]);
    for part in ["helm-controller", "required", "ignore"] {
        assert!(message.contains(part), "{message}");
    }
    let all: Vec<&str> = tool("flux").unwrap().parts.iter().map(|part| part.name.as_str()).collect();
    assert!(refused("flux", &[("ignore", &all.join(","))]).contains("ignore"));
}

#[test]
fn every_file_describes_a_tool_with_an_anchor() {
    for yaml in FILES {
        read(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"));
    }
    for tool in tools() {
        let same_name = tools().iter().filter(|other| other.name == tool.name);
        assert_eq!(same_name.count(), 1, "{}", tool.name);
        assert_eq!(names::check_label(&tool.name), Ok(()), "a name with a dot is a user's");
        assert!(tool.parts.iter().any(|part| part.presence == Presence::Required), "{} requires nothing", tool.name);
        assert!(tool.parts.iter().any(|part| part.anchor), "{}: nothing proves that it is installed", tool.name);
    }
}

#[test]
fn share_of_pods_and_deadlines_are_set() {
    let found = components("flux", &[("minReady", "90%"), ("progressDeadline", "30m"), ("failAfter", "90s")]);
    let helm = of(&found, ComponentKind::Deployment, "helm-controller");
    assert_eq!(helm.min_ready, Some(MinReady::Percent(90)));
    assert_eq!((helm.patience.progress_deadline.as_secs(), helm.patience.fail_after.as_secs()), (1800, 90));
    for (key, value) in
        [("minReady", "101%"), ("progressDeadline", "soon"), ("failAfter", "-1s"), ("failAfter", "169h")]
    {
        let message = refused("flux", &[(key, value)]);
        assert!(message.contains(key) && message.contains(value), "{message}");
    }
}

#[test]
fn part_in_a_namespace_of_its_own_stays_there() {
    for found in [components("knative", &[]), components("knative", &[("namespace", "serving")])] {
        assert!(found.iter().any(|component| component.namespace == "kourier-system"), "{found:?}");
    }
}

#[test]
fn one_kind_of_several_can_be_ignored() {
    let controller = "argocd-application-controller";
    let both = components("argocd", &[]);
    assert_eq!(of(&both, ComponentKind::StatefulSet, controller).or_kinds, [ComponentKind::Deployment]);
    let left = components("argocd", &[("ignore", "StatefulSet/argocd-application-controller")]);
    assert_eq!(of(&left, ComponentKind::Deployment, controller).or_kinds, []);
    let none = components("argocd", &[("ignore", controller)]);
    assert!(none.iter().all(|component| component.name != controller));
}

/// Each list costs a cluster a watch of some 3 KiB.
#[test]
fn parts_elsewhere_cost_no_list_where_their_namespaces_are_absent() {
    let tools = ["argocd", "flux", "prometheus", "istio", "cert-manager"];
    let tools = tools.map(|name| expected_of(tool(name).unwrap(), &config(&[])).unwrap());
    let queries = first_step(&tools);
    let is_list = |query: &&Query| matches!(query, Query::List { .. });
    let waiting: Vec<_> = queries.iter().filter(is_list).filter(|query| is_waiting(query, &queries)).collect();
    let elsewhere = [
        (ListKind::Deployment, "istio-ingress"),
        (ListKind::DaemonSet, "istio-cni"),
        (ListKind::DaemonSet, "istio-ingress"),
        (ListKind::DaemonSet, "kube-system"),
        (ListKind::DaemonSet, "ztunnel"),
    ];
    let expected = elsewhere.map(|(kind, namespace)| Query::List { kind, namespace: namespace.to_owned() });
    assert_eq!(waiting, expected.iter().collect::<Vec<_>>());
    assert_eq!(queries.iter().filter(is_list).count() - waiting.len(), 15, "as many as before there were others");
}
