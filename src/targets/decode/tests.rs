use super::*;
use std::collections::BTreeMap;

use crate::domain::snapshot::{
    Answer, CaBundle, Rollout, Seen, Service, Webhook, Workload, WorkloadConditions, WorkloadState,
};
use serde_json::json;

fn read_page(kind: ListKind, body: &[u8]) -> Result<(Answer, PageEnd), BadPage> {
    let mut objects = Objects::new(kind);
    let end = add_page(&mut body.to_vec(), &mut objects, &Pools::default())?;
    Ok((objects.answer(), end))
}

fn page(kind: ListKind, items: serde_json::Value) -> Answer {
    let body = json!({"kind": list_kind(kind), "apiVersion": "v1", "metadata": {}, "items": items});
    read_page(kind, body.to_string().as_bytes()).unwrap().0
}

fn workload(kind: ListKind, item: serde_json::Value) -> Workload {
    let Answer::Workloads(found) = page(kind, json!([item])) else { panic!("no workloads") };
    Workload::clone(&found[0])
}

fn ready(kind: ListKind, items: serde_json::Value) -> BTreeMap<String, u32> {
    let Answer::Endpoints(ready) = page(kind, items) else { panic!("no endpoints") };
    ready
}

#[test]
fn deployment_is_decoded() {
    let item = json!({
        "metadata": {"name": "a", "generation": 3, "labels": {"app.kubernetes.io/name": "a"}, "managedFields": [{}]},
        "spec": {"replicas": 4, "template": {"spec": {}}},
        "status": {
            "observedGeneration": 3, "replicas": 4, "readyReplicas": 4, "availableReplicas": 3, "updatedReplicas": 2,
            "conditions": [{"type": "Available", "status": "False"}, {"type": "Progressing", "status": "True"}],
        },
    });
    let expected = Workload {
        name: "a".to_owned(),
        labels: BTreeMap::from([("app.kubernetes.io/name".to_owned(), "a".to_owned())]),
        state: WorkloadState {
            desired: 4,
            ready: 3,
            updated: 2,
            max_unavailable: 1,
            conditions: WorkloadConditions { available: Some(false), ..WorkloadConditions::default() },
            ..WorkloadState::default()
        },
        version: None,
        pods: None,
    };
    assert_eq!(workload(ListKind::Deployment, item), expected);
}

#[test]
fn unused_fields_change_nothing() {
    let mut item = json!({
        "metadata": {"name": "a", "labels": {"template": "managedFields"}},
        "spec": {"selector": {"matchLabels": {"a": "managedFields"}}, "replicas": 2},
        "status": {"availableReplicas": 1},
    });
    let bare = [&item, &item].map(|item| workload(ListKind::Deployment, item.clone()));
    item["metadata"]["managedFields"] = json!([{"fieldsV1": {"k:{\"name\":\"]\"}": {"f:replicas": 7}}}]);
    item["spec"]["template"] = json!({"metadata": {"name": "b"}, "spec": {"a": "}\\", "replicas": 7}});
    let full = page(ListKind::Deployment, json!([item, item]));
    let Answer::Workloads(full) = full else { panic!("no workloads") };
    assert_eq!(full.iter().map(|found| Workload::clone(found)).collect::<Vec<_>>(), bare[..1]);
}

#[test]
fn unset_fields_have_the_api_defaults() {
    let bare = json!({"metadata": {"name": "a", "labels": null}, "spec": null, "status": {"conditions": null}});
    let read = workload(ListKind::Deployment, bare.clone());
    assert_eq!((read.state.desired, read.state.ready, read.state.seen), (1, 0, Seen::Latest), "replicas unset is 1");
    assert_eq!(workload(ListKind::DaemonSet, bare).state.desired, 0);
    let earlier = json!({"metadata": {"name": "a", "generation": 2}, "status": {"observedGeneration": 1}});
    assert_eq!(workload(ListKind::Deployment, earlier).state.seen, Seen::Earlier);
    let never = json!({"metadata": {"name": "a", "generation": 1, "creationTimestamp": "2026-11-30T00:00:00Z"}});
    assert_eq!(workload(ListKind::DaemonSet, never).state.seen, Seen::Never(1_795_996_800));
    let stalled = json!({
        "metadata": {"name": "a"},
        "status": {"conditions": [{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]},
    });
    assert!(workload(ListKind::Deployment, stalled).state.conditions.stalled);
    // A Deployment's ready Pods may not be available yet; an old StatefulSet reports only ready ones.
    let ready = json!({"metadata": {"name": "a"}, "status": {"readyReplicas": 1}});
    assert_eq!(workload(ListKind::Deployment, ready.clone()).state.ready, 0);
    assert_eq!(workload(ListKind::StatefulSet, ready).state.ready, 1);
    let daemon = json!({
        "metadata": {"name": "a"},
        "status": {"desiredNumberScheduled": 3, "numberAvailable": 2, "updatedNumberScheduled": 1, "numberReady": 9},
    });
    let read = workload(ListKind::DaemonSet, daemon);
    assert_eq!((read.state.desired, read.state.ready, read.state.updated), (3, 2, 1));
}

#[test]
fn version_is_that_of_the_label_the_image_or_the_chart() {
    let version = |labels: serde_json::Value, image: &str| {
        let template = json!({"spec": {"containers": [{"name": "a", "image": image}]}});
        let item = json!({"metadata": {"name": "a", "labels": labels}, "spec": {"template": template}});
        workload(ListKind::Deployment, item).version.map(String::from)
    };
    let chart = json!({"helm.sh/chart": "argo-cd-7.8.28"});
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(version(json!({"app.kubernetes.io/version": "v2.13.1"}), "a:3"), some("2.13.1"));
    assert_eq!(version(chart.clone(), "quay.io:443/argoproj/argocd:v2.14.0@sha256:00"), some("2.14.0"));
    assert_eq!(version(chart, "quay.io:443/argoproj/argocd@sha256:00"), some("7.8.28"));
    assert_eq!(version(json!({"helm.sh/chart": "k8s-2-app-1.2.3-rc1"}), "a"), some("1.2.3-rc1"));
    assert_eq!(version(json!({"helm.sh/chart": "app"}), "a"), None);
    assert_eq!(version(json!({}), "nginx"), None);
    assert_eq!(version(json!({}), "nginx:vault"), some("vault"));
    assert_eq!(version(json!({}), "nginx:\u{1b}[2J"), None, "no tag has such characters");
}

#[test]
fn rollout_and_its_allowance_are_decoded() {
    let read = |spec: serde_json::Value| {
        let item = json!({"metadata": {"name": "a"}, "spec": spec, "status": {"desiredNumberScheduled": 25}});
        let state = workload(ListKind::DaemonSet, item).state;
        (state.rollout, state.max_unavailable)
    };
    let rolling =
        |rolling: serde_json::Value| json!({"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}});
    assert_eq!(read(json!({})), (Rollout::Automatic, 1));
    assert_eq!(read(rolling(json!({"maxUnavailable": 3}))), (Rollout::Automatic, 3));
    assert_eq!(read(rolling(json!({"maxUnavailable": "10%"}))), (Rollout::Automatic, 3), "rounded up");
    assert_eq!(read(rolling(json!({"maxUnavailable": "many"}))), (Rollout::Automatic, 0));
    assert_eq!(read(rolling(json!({"partition": 2}))).0, Rollout::Partition);
    assert_eq!(read(json!({"updateStrategy": {"type": "OnDelete"}})).0, Rollout::OnDelete);
    assert_eq!(read(json!({"paused": true})).0, Rollout::Paused);
}

#[test]
fn hostile_counts_are_clamped() {
    for (given, read) in [
        ("-1", 0),
        ("-9223372036854775808", 0),
        ("-99999999999999999999", 0),
        ("4294967295", u32::MAX),
        ("4294967296", u32::MAX),
        ("99999999999999999999999", u32::MAX),
        ("1e300", u32::MAX),
        ("2.5", 2),
        ("null", 1),
    ] {
        let body = format!(
            r#"{{"kind":"DeploymentList","items":[{{"metadata":{{"name":"a"}},"spec":{{"replicas":{given}}}}}]}}"#
        );
        let Ok((Answer::Workloads(found), _)) = read_page(ListKind::Deployment, body.as_bytes()) else {
            panic!("{body}")
        };
        assert_eq!(found[0].state.desired, read, "{given}");
    }
}

#[test]
fn other_json_is_not_mistaken_for_an_empty_list() {
    for body in [
        "",
        "{}",
        "[]",
        "null",
        "<html>",
        r#"{"kind":"Status","status":"Success"}"#,
        r#"{"items":[]}"#,
        r#"{"kind":"List","items":[]}"#,
        r#"{"kind":"ServiceList","items":[]}"#,
        r#"{"kind":"DeploymentList","items":{}}"#,
        r#"{"kind":"DeploymentList","items":"x"}"#,
        r#"{"kind":"DeploymentList","items":[null]}"#,
        r#"{"kind":"DeploymentList","items":[{"metadata":{"name":"a"},"spec":{"replicas":"many"}}]}"#,
        r#"{"kind":"DeploymentList","items":[{"metadata":{"name":"a"},"spec":{"replicas":1e999}}]}"#,
        r#"{"kind":"DeploymentList","items":[]"#,
    ] {
        let read = read_page(ListKind::Deployment, body.as_bytes());
        assert_eq!(read, Err(BadPage::Invalid), "{}", &body[..body.len().min(100)]);
    }
    let null = br#"{"kind":"DeploymentList","items":null,"metadata":null}"#;
    let nothing = (Answer::Workloads(vec![]), PageEnd::default());
    assert_eq!(read_page(ListKind::Deployment, null), Ok(nothing), "how Go writes an empty list");
}

#[test]
fn status_and_version_of_other_services_are_rejected() {
    let status = |body: &str| is_status(&mut body.as_bytes().to_vec());
    assert!(status(r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","code":404}"#));
    for other in [
        "",
        "default backend - 404",
        "<html>",
        r#"{"kind":"Status"}"#,
        r#"{"apiVersion":"v1"}"#,
        r#"{"kind":"Status","apiVersion":"v2"}"#,
        r#"{"type":"error","status":"403","code":"Forbidden"}"#,
    ] {
        assert!(!status(other), "{other}");
    }
    let version = |body: &str| is_version_info(&mut body.as_bytes().to_vec());
    assert!(version(r#"{"major":"1","minor":"36","gitVersion":"v1.36.3"}"#));
    assert!(!version("ok") && !version("{}") && !version(r#"{"version":"1"}"#));
}

#[test]
fn list_of_too_many_small_objects_is_rejected() {
    let body = format!(r#"{{"kind":"ServiceList","items":[{}{{}}]}}"#, r#"{"metadata":{"name":"a"}},"#.repeat(50_000));
    assert_eq!(read_page(ListKind::Service, body.as_bytes()), Err(BadPage::TooLarge));
}

#[test]
fn page_end_has_the_continue_token_and_version() {
    let body = br#"{"kind":"ServiceList","metadata":{"continue":"abc","resourceVersion":"7"},"items":[{"metadata":{"name":"a"},"spec":{"type":"ExternalName"}},{"metadata":{"name":"b"}}]}"#;
    let Ok((Answer::Services(found), end)) = read_page(ListKind::Service, body) else { panic!("no Services") };
    assert_eq!(end, PageEnd { continue_token: Some("abc".to_owned()), version: Some("7".to_owned()) });
    let external: Vec<bool> = found.iter().map(|service| service.external).collect();
    assert_eq!(external, [true, false]);
}

#[test]
fn ready_endpoints_count_once_over_slices_and_address_families() {
    let pod = |name: &str| json!({"kind": "Pod", "name": name});
    let slice = |name: &str, endpoints: serde_json::Value| json!({"metadata": {"name": name, "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": endpoints});
    let ready = ready(
        ListKind::EndpointSlice,
        json!([
            slice("v4", json!([
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "targetRef": pod("a")},
                {"addresses": ["10.0.0.2"], "conditions": {}, "targetRef": pod("b")},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false}, "targetRef": pod("c")},
                {"addresses": ["10.0.0.4"], "conditions": null},
            ])),
            slice("v6", json!([
                {"addresses": ["fd00::1"], "conditions": {"ready": true}, "targetRef": pod("a")},
                {"addresses": ["10.0.0.4"]},
                {"addresses": null},
            ])),
            slice("none", json!(null)),
            {"metadata": {"name": "orphan"}, "endpoints": [{"addresses": ["10.0.0.9"]}]},
        ]),
    );
    assert_eq!(ready, BTreeMap::from([("web".to_owned(), 3)]));
}

#[test]
fn endpoints_count_ready_addresses_only() {
    let ready = ready(
        ListKind::Endpoints,
        json!([
            {"metadata": {"name": "web"}, "subsets": [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "notReadyAddresses": [{"ip": "10.0.0.3"}]},
                {"addresses": [{"ip": "10.0.0.1"}]},
                {"notReadyAddresses": [{"ip": "10.0.0.3"}]},
            ]},
            {"metadata": {"name": "empty"}, "subsets": null},
        ]),
    );
    assert_eq!(ready, BTreeMap::from([("empty".to_owned(), 0), ("web".to_owned(), 2)]));
}

#[test]
fn named_object_needs_a_kind_and_its_name() {
    let is_named = |body: &str| named(&mut body.as_bytes().to_vec(), "a.b").is_some();
    assert!(is_named(r#"{"kind":"PartialObjectMetadata","metadata":{"name":"a.b"}}"#));
    let whole = r#"{"kind":"Namespace","metadata":{"managedFields":[{"manager":"helm"}],"name":"a.b"},"spec":{}}"#;
    assert!(is_named(whole));
    assert!(!is_named(r#"{"metadata":{"name":"a.b"}}"#));
    assert!(!is_named(r#"{"kind":"PartialObjectMetadata","metadata":{"name":"x"}}"#));
    assert!(!is_named("{}"));
    assert!(!is_named("a.b"));
}

#[test]
fn named_object_tells_its_state_and_no_message() {
    let read = |object: serde_json::Value| named(&mut object.to_string().into_bytes(), "a").unwrap();
    let state = read(json!({
        "kind": "BackupStorageLocation",
        "metadata": {"name": "a", "generation": 3, "deletionTimestamp": "2026-11-30T00:00:00Z"},
        "status": {"phase": "Unavailable", "observedGeneration": 2, "message": "AccessDenied: secret", "conditions": [
            {"type": "Ready", "status": "False", "reason": "BadKey", "message": "the key is hunter2"},
            {"type": "Odd", "status": "Maybe", "reason": "not a word"}]},
    }));
    assert!(state.deleting && state.outdated);
    assert_eq!(state.phase.as_deref(), Some("Unavailable"));
    assert_eq!(
        (state.conditions["Ready"].truth, state.conditions["Ready"].reason.as_deref()),
        (Some(false), Some("BadKey"))
    );
    assert_eq!((state.conditions["Odd"].truth, state.conditions["Odd"].reason.as_deref()), (None, None));
    assert!(!format!("{state:?}").contains("hunter2"));
    let odd = read(json!({"kind": "X", "metadata": {"name": "a"}, "status": {"phase": {"a": 1}, "conditions": null}}));
    assert_eq!((odd.phase, odd.conditions.len()), (None, 0));
}

#[test]
fn webhooks_are_decoded() {
    let read = |webhook: serde_json::Value| {
        let object =
            json!({"kind": "ValidatingWebhookConfiguration", "metadata": {"name": "a"}, "webhooks": [webhook]});
        named(&mut object.to_string().into_bytes(), "a").unwrap().webhooks.remove(0)
    };
    let service = json!({"namespace": "cert-manager", "name": "cert-manager-webhook", "path": "/mutate"});
    let webhook = read(json!({"clientConfig": {"service": service, "caBundle": "bm90IFBFTQ=="}}));
    let expected = Some(("cert-manager".to_owned(), "cert-manager-webhook".to_owned()));
    assert_eq!(webhook, Webhook { service: expected, required: true, ca: CaBundle::Invalid });
    let by_url = read(json!({"failurePolicy": "Ignore", "clientConfig": {"url": "https://a.example.com"}}));
    assert_eq!(by_url, Webhook { service: None, required: false, ca: CaBundle::Empty });
}

fn line(kind: ListKind, line: serde_json::Value) -> Result<(Event, Option<String>), BadPage> {
    let mut text = line.to_string().into_bytes();
    let (event, version) = event(&kind.into(), &mut text, &Pools::default())?;
    Ok((event, version.map(Text::into_owned)))
}

#[test]
fn watch_line_is_decoded_to_event_and_version() {
    let object = |name: &str| json!({"kind": "Service", "metadata": {"name": name, "resourceVersion": "12"}});
    let read = line(ListKind::Service, json!({"type": "MODIFIED", "object": object("a")}));
    let service = Service { name: "a".to_owned(), ..Service::default() };
    assert_eq!(read, Ok((Event::Put(Object::Service(Arc::new(service))), Some("12".to_owned()))));
    let read = line(ListKind::Service, json!({"type": "DELETED", "object": object("a")}));
    assert_eq!(read, Ok((Event::Removed { name: "a".to_owned() }, Some("12".to_owned()))));
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "13"}}});
    assert_eq!(line(ListKind::EndpointSlice, bookmark), Ok((Event::Bookmark, Some("13".to_owned()))));
    let bookmark = json!({"type": "BOOKMARK", "object": {"metadata": {
        "resourceVersion": "14",
        "annotations": {"k8s.io/initial-events-end": "true"},
    }}});
    assert_eq!(line(ListKind::Deployment, bookmark), Ok((Event::EndOfList, Some("14".to_owned()))));
}

#[test]
fn watch_line_that_is_no_event_is_rejected() {
    for bad in [
        json!({"type": "ADDED"}),
        json!({"type": "ADDED", "object": null}),
        json!({"type": "DELETED", "object": {"metadata": {}}}),
        json!({"type": "GROWN", "object": {"metadata": {"name": "a"}}}),
        json!([]),
    ] {
        assert_eq!(line(ListKind::Deployment, bad.clone()), Err(BadPage::Invalid), "{bad}");
    }
    // Keys in the order of an API server.
    let expired = br#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired"}}"#;
    let read = event(&ListKind::Deployment.into(), &mut expired.to_vec(), &Pools::default()).map(|(event, _)| event);
    assert_eq!(read, Err(BadPage::Ended));
}

#[test]
fn invalid_names_and_labels_are_rejected() {
    let long = "x".repeat(254);
    let metadata = [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": long }),
        json!({ "name": "a\u{1b}[2J" }),
        json!({ "name": "a\u{202e}b" }),
        json!({ "name": "a", "labels": { "app": "x".repeat(64) } }),
        json!({ "name": "a", "labels": { long: "x" } }),
        json!({ "name": "a", "labels": { "app": "\n" } }),
    ];
    for (kind, metadata) in metadata.iter().flat_map(|metadata| KINDS.map(|kind| (kind, metadata))) {
        let body = json!({ "kind": list_kind(kind), "items": [{ "metadata": metadata }] }).to_string();
        assert_eq!(read_page(kind, body.as_bytes()).unwrap_err(), BadPage::Name, "{kind:?}: {body:.200}");
        let added = json!({ "type": "ADDED", "object": { "metadata": metadata } });
        assert_eq!(line(kind, added), Err(BadPage::Name), "{kind:?}: {metadata}");
    }
}

const KINDS: [ListKind; 6] = [
    ListKind::Deployment,
    ListKind::StatefulSet,
    ListKind::DaemonSet,
    ListKind::Service,
    ListKind::EndpointSlice,
    ListKind::Endpoints,
];

#[test]
fn selector_is_kept_only_while_pods_are_missing() {
    let read = |ready: u32, selector: serde_json::Value| {
        let item = json!({"metadata": {"name": "a"}, "spec": {"replicas": 2, "selector": selector},
            "status": {"availableReplicas": ready}});
        workload(ListKind::Deployment, item).pods.map(String::from)
    };
    let labels = json!({"matchLabels": {"b": "2", "a": "1"}});
    assert_eq!(read(1, labels.clone()).as_deref(), Some("a=1,b=2"));
    assert_eq!(read(2, labels), None);
    assert_eq!(read(1, json!({"matchLabels": {"a": "1"}, "matchExpressions": [{}]})), None);
    assert_eq!(read(1, json!({"matchLabels": {"a": "1&x"}})), None);
    assert_eq!(read(1, json!({"matchLabels": {}})), None);
}
