//! What a user may write into `spec.config`, and what they are told where they may not.

use super::*;

fn config(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn tool(name: &str) -> &'static Tool {
    Tool::named(name).expect("a built-in tool")
}

fn components(name: &str, pairs: &[(&str, &str)]) -> Vec<Component> {
    components_of(tool(name), &config(pairs)).expect("a valid config")
}

fn refused(name: &str, pairs: &[(&str, &str)]) -> String {
    components_of(tool(name), &config(pairs)).expect_err("an invalid config").to_string()
}

fn of<'c>(components: &'c [Component], kind: ComponentKind, name: &str) -> &'c Component {
    components.iter().find(|component| component.kind == kind && component.name == name).expect("the component")
}

#[test]
fn without_config_a_tool_is_looked_for_where_it_usually_is() {
    for (name, namespace) in
        [("argocd", "argocd"), ("flux", "flux-system"), ("prometheus", "monitoring"), ("istio", "istio-system")]
    {
        for component in components(name, &[("namespace", "")]) {
            let expected = if component.kind == ComponentKind::Crd { "" } else { namespace };
            assert_eq!(component.namespace, expected, "{name}: {}", component.name);
            assert_eq!(component.min_ready, 1);
        }
    }
}

#[test]
fn one_component_may_live_elsewhere() {
    let found = components("istio", &[("namespace", "mesh"), ("namespace.istio-ingressgateway", "edge")]);
    assert_eq!(of(&found, ComponentKind::Deployment, "istiod").namespace, "mesh");
    assert_eq!(of(&found, ComponentKind::Deployment, "istio-ingressgateway").namespace, "edge");
}

#[test]
fn a_given_name_takes_the_place_of_labels() {
    let found = components("argocd", &[("name.argocd-server", "front")]);
    for kind in [ComponentKind::Deployment, ComponentKind::Service] {
        assert_eq!(of(&found, kind, "argocd-server").finder, Finder::by_name("front"));
    }
    assert!(!of(&found, ComponentKind::Deployment, "argocd-repo-server").finder.labels.is_empty());
}

#[test]
fn the_kind_tells_two_of_one_name_apart_and_has_the_last_word() {
    let found = components(
        "argocd",
        &[("minReady", "2"), ("minReady.argocd-server", "3"), ("minReady.service/argocd-server", "4")],
    );
    assert_eq!(of(&found, ComponentKind::StatefulSet, "argocd-application-controller").min_ready, 2);
    assert_eq!(of(&found, ComponentKind::Deployment, "argocd-server").min_ready, 3);
    assert_eq!(of(&found, ComponentKind::Service, "argocd-server").min_ready, 4);
}

#[test]
fn lists_say_what_is_required_optional_or_ignored() {
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
fn a_controller_that_is_a_deployment_can_be_asked_for() {
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
fn the_keys_of_the_go_toolkit_are_accepted_and_do_nothing() {
    let toolkit: Vec<(&str, &str)> = WITHOUT_EFFECT.iter().map(|key| (*key, "anything")).collect();
    for name in ["argocd", "flux", "prometheus", "istio"] {
        assert_eq!(components(name, &toolkit), components(name, &[]));
    }
    assert_eq!(keys_without_effect(&config(&[("url", "x"), ("namespace", "y")])), ["url"]);
}

#[test]
fn an_unknown_key_is_named_with_what_was_probably_meant_and_what_there_is() {
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
fn an_unknown_component_is_named_with_what_was_probably_meant_and_what_there_is() {
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
fn a_bad_value_is_named_with_what_is_expected() {
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
    assert!(message.contains("CustomResourceDefinition"), "{message}");
}

#[test]
fn what_contradicts_itself_is_refused() {
    let message = refused("flux", &[("required", "helm-controller"), ("ignore", "helm-controller")]);
    for part in ["helm-controller", "required", "ignore"] {
        assert!(message.contains(part), "{message}");
    }
    let all: Vec<&str> = tool("flux").parts.iter().map(|part| part.name).collect();
    assert!(refused("flux", &[("ignore", &all.join(","))]).contains("ignore"));
}

#[test]
fn every_tool_is_well_formed() {
    for tool in super::super::TOOLS {
        let same_name = super::super::TOOLS.iter().filter(|other| other.name == tool.name);
        assert_eq!(same_name.count(), 1, "{}", tool.name);
        assert!(tool.parts.iter().any(|part| !part.optional), "{} requires nothing", tool.name);
        assert_eq!(names::check_label(tool.namespace), Ok(()));
        for (index, part) in tool.parts.iter().enumerate() {
            let same = |other: &Part| other.kind == part.kind && other.name == part.name;
            assert!(!tool.parts[..index].iter().any(same), "{}: {} twice", tool.name, part.name);
            assert_eq!(names::check_subdomain(part.name), Ok(()));
            assert!(!part.name.contains('/') && !part.name.contains(','));
        }
    }
}
