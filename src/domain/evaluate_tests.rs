use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::domain::component::{Finder, MinReady, Presence};
use crate::domain::snapshot::{Answer, ListKind, ObjectRef, ObjectState, Query, Service, Workload, WorkloadState};
use crate::domain::version::VersionRange;

const NS: &str = "argocd";

fn server() -> Component {
    Component::required(ComponentKind::Deployment, "server", NS)
}

fn service() -> Component {
    Component { kind: ComponentKind::Service, ..server() }
}

fn optional(component: Component) -> Component {
    Component { presence: Presence::Optional, ..component }
}

fn list(kind: ListKind, answer: Answer) -> (Query, Answer) {
    (Query::List { kind, namespace: NS.into() }, answer)
}

fn deployments(workloads: Vec<Workload>) -> (Query, Answer) {
    list(ListKind::Deployment, Answer::Workloads(workloads.into_iter().map(Arc::new).collect()))
}

fn workload(desired: u32, ready: u32) -> Workload {
    let state = WorkloadState { desired, ready, updated: desired, max_unavailable: 1, ..WorkloadState::default() };
    Workload { name: "server".into(), state, ..Workload::default() }
}

fn with(workload: Workload, change: impl FnOnce(&mut WorkloadState)) -> Workload {
    let mut workload = workload;
    change(&mut workload.state);
    workload
}

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn judged(expected: &Expected, snapshot: &Snapshot, when_absent: WhenAbsent) -> ToolVerdict {
    evaluate(expected, snapshot, when_absent, &Clock { now: NOW, earlier: &[] }).verdict
}

fn verdict(components: &[Component], answers: impl IntoIterator<Item = (Query, Answer)>) -> ToolVerdict {
    judged(&components.to_vec().into(), &answers.into_iter().collect(), WhenAbsent::Failed)
}

fn summary(verdict: &ToolVerdict) -> (Phase, Reason, &str) {
    (verdict.phase, verdict.reason, &verdict.message)
}

#[test]
fn ready_deployment_is_healthy() {
    let verdict = verdict(&[server()], [deployments(vec![workload(2, 2)])]);
    assert_eq!(summary(&verdict), (Phase::Running, Reason::Healthy, "1/1 components healthy"));
    assert_eq!((verdict.observations[0].ready, verdict.observations[0].desired), (Some(2), Some(2)));
}

#[test]
fn scaled_to_zero_fails_and_names_the_component() {
    let verdict = verdict(&[server()], [deployments(vec![workload(0, 0)])]);
    assert_eq!(
        summary(&verdict),
        (
            Phase::Failed,
            Reason::ComponentNotReady,
            "0/1 components healthy: Deployment argocd/server is scaled to 0: scale it up, or make it optional in config"
        )
    );
}

#[test]
fn rollout_in_progress_is_healthy_with_a_note() {
    let rolling = with(workload(3, 2), |state| state.updated = 1);
    let verdict = verdict(&[server()], [deployments(vec![rolling])]);
    assert_eq!(verdict.phase, Phase::Running);
    assert_eq!(verdict.observations[0].state, ComponentState::Progressing);
    assert!(verdict.message.contains("rolling out, 1 of 3 updated"), "{}", verdict.message);
}

#[test]
fn stuck_rollout_is_degraded_while_old_pods_serve() {
    let stuck = with(workload(3, 3), |state| (state.updated, state.conditions.stalled) = (1, true));
    let verdict = verdict(&[server()], [deployments(vec![stuck])]);
    assert_eq!((verdict.phase, verdict.reason), (Phase::Degraded, Reason::ComponentDegraded));
    assert!(verdict.message.contains("is stuck, 1 of 3 updated"), "{}", verdict.message);
}

#[test]
fn fewer_ready_than_min_ready_fails() {
    let two = Component { min_ready: Some(MinReady::Pods(2)), ..server() };
    let verdict = verdict(&[two], [deployments(vec![workload(3, 1)])]);
    assert!(verdict.message.ends_with("has 1 of 3 ready, but at least 2 are required"), "{}", verdict.message);
}

#[test]
fn optional_component_may_be_absent_or_at_zero_but_not_broken() {
    let rows =
        [(vec![], Phase::Running), (vec![workload(0, 0)], Phase::Running), (vec![workload(1, 0)], Phase::Failed)];
    for (found, phase) in rows {
        assert_eq!(verdict(&[optional(server())], [deployments(found)]).phase, phase);
    }
}

#[test]
fn absent_optional_component_has_no_observation() {
    let states = |found| {
        let observations = verdict(&[server(), optional(service())], found).observations;
        observations.into_iter().map(|observation| (observation.kind, observation.state)).collect::<Vec<_>>()
    };
    let absent = [deployments(vec![workload(1, 1)]), list(ListKind::Service, Answer::Services(vec![]))];
    assert_eq!(states(absent), [(ComponentKind::Deployment.into(), ComponentState::Healthy)]);
    let idle = verdict(&[optional(server())], [deployments(vec![workload(0, 0)])]);
    assert_eq!(idle.observations[0].state, ComponentState::NotInUse);
}

#[test]
fn every_object_with_the_labels_must_be_healthy() {
    let labels = BTreeMap::from([("app".to_owned(), "istiod".to_owned())]);
    let istiod =
        Component { finder: Finder { labels: vec![labels.clone()], names: vec!["server".into()] }, ..server() };
    let revision = |name: &str, ready| Workload { name: name.into(), labels: labels.clone(), ..workload(1, ready) };
    let both =
        verdict(&[istiod], [deployments(vec![revision("istiod-1-20", 1), revision("istiod-1-21", 0), workload(0, 0)])]);
    assert_eq!(both.observations.len(), 2, "names don't count if labels match");
    assert!(both.message.contains("argocd/istiod-1-21"), "{}", both.message);
}

#[test]
fn daemonset_without_matching_nodes_is_healthy() {
    let agent = Component { kind: ComponentKind::DaemonSet, ..server() };
    let verdict = verdict(&[agent], [list(ListKind::DaemonSet, Answer::Workloads(vec![Arc::new(workload(0, 0))]))]);
    assert_eq!(verdict.phase, Phase::Running);
}

#[test]
fn service_needs_ready_endpoints() {
    let found = || {
        list(
            ListKind::Service,
            Answer::Services(vec![Arc::new(Service { name: "server".into(), ..Service::default() })]),
        )
    };
    let slices =
        |ready: u32| list(ListKind::EndpointSlice, Answer::Endpoints(BTreeMap::from([("server".into(), ready)])));
    assert_eq!(verdict(&[service()], [found(), slices(2)]).phase, Phase::Running);
    let none = verdict(&[service()], [found(), slices(0)]);
    assert!(none.message.contains("Service argocd/server has no ready endpoints"), "{}", none.message);
    let forbidden = || list(ListKind::EndpointSlice, Answer::Forbidden);
    let old = list(ListKind::Endpoints, Answer::Endpoints(BTreeMap::from([("server".into(), 1)])));
    assert_eq!(verdict(&[service()], [found(), forbidden(), old]).phase, Phase::Running);
    let blind = verdict(&[service()], [found(), forbidden(), list(ListKind::Endpoints, Answer::Forbidden)]);
    assert_eq!(blind.reason, Reason::Forbidden);
    assert!(blind.message.contains("resources [\"endpointslices\"]"), "{}", blind.message);
}

#[test]
fn forbidden_fails_required_components_and_names_the_rule() {
    let forbidden = || list(ListKind::Deployment, Answer::Forbidden);
    let required = verdict(&[server()], [forbidden()]);
    assert_eq!((required.phase, required.reason), (Phase::Failed, Reason::Forbidden));
    assert!(
        required.message.contains("apiGroups [\"apps\"], resources [\"deployments\"], verbs [get, list, watch]"),
        "{}",
        required.message
    );
    let optional = verdict(&[optional(server())], [forbidden()]);
    assert_eq!((optional.phase, optional.observations[0].state), (Phase::Running, ComponentState::NotSeen));
}

#[test]
fn missing_namespace_is_reported_as_the_cause() {
    let namespace = (Query::Object(ObjectRef::namespace(NS)), Answer::NotFound);
    let verdict = verdict(&[server()], [deployments(vec![]), namespace]);
    assert_eq!(
        summary(&verdict),
        (
            Phase::Failed,
            Reason::NamespaceMissing,
            "namespace argocd does not exist; install the tool, or set config.namespace to where it is"
        )
    );
}

#[test]
fn not_installed_requires_readable_answers() {
    let expected = vec![server()].into();
    let phase = |answer| judged(&expected, &Snapshot::from([answer]), WhenAbsent::NotInstalled).phase;
    assert_eq!(phase(deployments(vec![])), Phase::NotInstalled);
    assert_eq!(phase(list(ListKind::Deployment, Answer::Forbidden)), Phase::Failed);
    assert_eq!(phase(deployments(vec![workload(1, 0)])), Phase::Failed);
}

const CRD: &str = "gateways.networking.istio.io";

fn crd() -> Component {
    Component::required(ComponentKind::Crd, CRD, "")
}

fn crd_query() -> Query {
    Query::Object(ObjectRef::crd(CRD))
}

fn present() -> Answer {
    Answer::Object(Arc::default())
}

#[test]
fn leftover_crds_do_not_count_as_installed() {
    let snapshot = Snapshot::from([(crd_query(), present()), deployments(vec![])]);
    let verdict = judged(&vec![server(), optional(crd())].into(), &snapshot, WhenAbsent::NotInstalled);
    assert_eq!(verdict.phase, Phase::NotInstalled);
}

#[test]
fn crd_is_present_or_absent() {
    assert_eq!(verdict(&[crd()], [(crd_query(), present())]).phase, Phase::Running);
    let absent = verdict(&[crd()], [(crd_query(), Answer::NotFound)]);
    assert!(
        absent.message.contains("CustomResourceDefinition gateways.networking.istio.io is absent"),
        "{}",
        absent.message
    );
    let deleting = ObjectState { deleting: true, ..ObjectState::default() };
    let deleting = verdict(&[crd()], [(crd_query(), Answer::Object(Arc::new(deleting)))]);
    assert!(deleting.message.ends_with("is being deleted"), "{}", deleting.message);
}

fn named(kind: ComponentKind, name: &str) -> Component {
    Component::required(kind, name, NS)
}

fn running(name: &str) -> Workload {
    Workload { name: name.into(), ..workload(1, 1) }
}

#[test]
fn profile_explains_what_is_absent_together() {
    let any = |name: &str| ComponentName { kind: None, name: name.to_owned() };
    let core = Profile { name: "core".into(), with: vec![any("repo")], without: vec![any("server"), any("dex")] };
    let dex = optional(named(ComponentKind::Deployment, "dex"));
    let components = vec![server(), named(ComponentKind::Deployment, "repo"), dex];
    let expected = Expected { components, profiles: vec![core], ..Expected::default() };
    let judged = |found: Vec<Workload>| judged(&expected, &Snapshot::from([deployments(found)]), WhenAbsent::Failed);
    assert_eq!(summary(&judged(vec![running("repo")])).2, "1/1 components healthy (profile core)");
    assert_eq!(judged(vec![running("repo"), running("server")]).message, "2/2 components healthy");
    let deleted = judged(vec![running("repo"), running("dex")]);
    assert_eq!(
        (deleted.phase, deleted.reason),
        (Phase::Failed, Reason::ComponentAbsent),
        "dex tells that it is no core"
    );
    assert_eq!(judged(vec![]).phase, Phase::Failed, "the profile needs the repo server");
}

#[test]
fn profile_may_lack_one_of_two_components_of_a_name() {
    let deployment = ComponentName { kind: Some(ComponentKind::Deployment), name: "server".into() };
    let service = ComponentName { kind: Some(ComponentKind::Service), name: "server".into() };
    let remote = Profile { name: "remote".into(), with: vec![service], without: vec![deployment] };
    let components = vec![server(), named(ComponentKind::Service, "server")];
    let expected = Expected { components, profiles: vec![remote], ..Expected::default() };
    let service = Service { name: "server".into(), external: true, ..Service::default() };
    let found = list(ListKind::Service, Answer::Services(vec![Arc::new(service)]));
    let judged = |found: Snapshot| judged(&expected, &found, WhenAbsent::Failed);
    let remote = judged(Snapshot::from([deployments(vec![]), found]));
    assert_eq!(summary(&remote).2, "1/1 components healthy (profile remote)");
    assert_eq!(judged(Snapshot::from([deployments(vec![])])).phase, Phase::Failed, "its Service is absent too");
}

#[test]
fn message_about_an_absent_component_tells_how_to_leave_it_out() {
    let absent = verdict(&[server()], [deployments(vec![running("other")])]);
    assert!(absent.message.ends_with("(left out on purpose? set config.ignore to server)"), "{}", absent.message);
}

#[test]
fn accessories_alone_are_no_installation() {
    let exporter = Component { anchor: false, ..optional(named(ComponentKind::Deployment, "exporter")) };
    let expected: Expected = vec![server(), exporter].into();
    let found = Snapshot::from([deployments(vec![running("exporter")])]);
    let absent = judged(&expected, &found, WhenAbsent::NotInstalled);
    assert_eq!((absent.phase, absent.reason), (Phase::NotInstalled, Reason::AccessoriesOnly));
    assert!(absent.message.ends_with("only exporter"), "{}", absent.message);
    assert_eq!(judged(&expected, &found, WhenAbsent::Failed).phase, Phase::Failed);
}

#[test]
fn service_is_idle_with_the_component_behind_it() {
    let injector = optional(named(ComponentKind::Deployment, "injector"));
    let front = Component { workload: Some("injector".into()), ..optional(named(ComponentKind::Service, "front")) };
    let services = list(
        ListKind::Service,
        Answer::Services(vec![Arc::new(Service { name: "front".into(), ..Service::default() })]),
    );
    let none = || list(ListKind::EndpointSlice, Answer::Endpoints(BTreeMap::new()));
    let state = |desired| {
        with(running("injector"), |state| (state.desired, state.ready, state.updated) = (desired, 0, desired))
    };
    let judged = |desired| {
        let answers = [deployments(vec![state(desired)]), services.clone(), none()];
        let verdict = verdict(&[injector.clone(), front.clone()], answers);
        (verdict.phase, verdict.observations.iter().map(|seen| seen.state).collect::<Vec<_>>())
    };
    assert_eq!(judged(0), (Phase::Running, vec![ComponentState::NotInUse; 2]));
    assert_eq!(judged(1), (Phase::Failed, vec![ComponentState::NotReady; 2]));
}

#[test]
fn namespace_that_is_being_deleted_is_a_fault() {
    let deleting = Answer::Object(Arc::new(ObjectState { deleting: true, ..ObjectState::default() }));
    let namespace = (Query::Object(ObjectRef::namespace(NS)), deleting);
    let verdict = verdict(&[server()], [deployments(vec![workload(1, 1)]), namespace]);
    assert_eq!((verdict.phase, verdict.reason), (Phase::Failed, Reason::NamespaceTerminating));
    assert!(verdict.message.contains("namespace argocd is being deleted"), "{}", verdict.message);
}

#[test]
fn version_is_shown_and_held_to_the_wanted_range() {
    let versions = |wanted: Option<&str>, found: &[Option<&str>]| {
        let labels = BTreeMap::from([("app".to_owned(), "server".to_owned())]);
        let finder = Finder { labels: vec![labels.clone()], names: Vec::new() };
        let workload = |version: &Option<&str>| {
            let version = version.map(Into::into);
            Workload { name: format!("server-{version:?}"), labels: labels.clone(), version, ..workload(1, 1) }
        };
        let versions = wanted.map(|range| VersionRange::parse(range).unwrap());
        let expected = Expected { components: vec![Component { finder, ..server() }], versions, ..Expected::default() };
        let snapshot = Snapshot::from([deployments(found.iter().map(workload).collect())]);
        judged(&expected, &snapshot, WhenAbsent::Failed)
    };
    let upgrading = versions(None, &[Some("2.9.0"), Some("2.10.0"), Some("2.10.0")]);
    assert_eq!(upgrading.version.as_deref(), Some("2.10.0"));
    assert!(upgrading.message.contains("upgrading from 2.9.0 to 2.10.0"), "{}", upgrading.message);
    let phase = |wanted, found: &[Option<&str>]| {
        let verdict = versions(Some(wanted), found);
        (verdict.phase, verdict.reason)
    };
    let outside = (Phase::Degraded, Reason::VersionOutOfRange);
    assert_eq!(phase(">=2.9 <3", &[Some("2.10.0")]), (Phase::Running, Reason::Healthy));
    assert_eq!(phase(">=2.10 <3", &[Some("2.9.0"), Some("2.10.0")]), outside, "one of them");
    assert_eq!(phase("<3", &[Some("latest")]), outside);
    assert_eq!(phase("<3", &[None]), outside, "unknown is not green");
}
