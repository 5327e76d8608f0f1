//! Tests of managed objects in answers.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::managed::{Counts, RuleTexts, Rules};
use crate::domain::snapshot::Answer;
use crate::targets::listed::Listed;

fn list(failed: &str) -> Arc<ManagedList> {
    let texts = RuleTexts { failed: Some(failed.to_owned()), ..RuleTexts::default() };
    Arc::new(ManagedList {
        kind: "Portal".to_owned(),
        group: "example.com".to_owned(),
        versions: vec!["v1".to_owned()],
        plural: "portals".to_owned(),
        namespace: String::new(),
        rules: Arc::new(Rules::compile(texts).unwrap()),
    })
}

fn portal(name: &str, phase: &str) -> serde_json::Value {
    json!({ "metadata": { "name": name, "namespace": "team", "resourceVersion": "7",
        "managedFields": [{ "f:status": { "f:phase": "}]" } }] },
        "spec": { "secret": "hunter2" }, "status": { "phase": phase, "large": "x".repeat(20_000) } })
}

fn read(page: &serde_json::Value, list: &Arc<ManagedList>) -> Result<(Counts, PageEnd), BadPage> {
    let mut objects = Objects::new(Listed::Managed(list.clone()));
    let end = add_page(&mut page.to_string().into_bytes(), list, &mut objects)?;
    let Answer::Managed(counts) = objects.answer() else { panic!() };
    Ok((Arc::unwrap_or_clone(counts), end))
}

fn page(items: &[serde_json::Value]) -> serde_json::Value {
    json!({ "kind": "PortalList", "metadata": { "resourceVersion": "9", "continue": "" }, "items": items })
}

#[test]
fn page_is_counted_with_its_version() {
    let list = list("object.status.phase == 'Broken'");
    let (counts, end) = read(&page(&[portal("a", "Fine"), portal("b", "Broken")]), &list).unwrap();
    assert_eq!((counts.total, counts.failing, counts.worst[0].name.as_str()), (2, 1, "b"));
    assert_eq!((end.version.as_deref(), end.continue_token), (Some("9"), None));
    let (none, _) = read(&json!({ "items": null, "kind": "PortalList" }), &list).unwrap();
    assert_eq!(none.total, 0);
}

#[test]
fn answer_of_something_else_is_refused() {
    let list = list("false");
    for body in [json!({ "kind": "PodList", "items": [] }), json!({ "items": [] }), json!([]), json!("PortalList")] {
        assert_eq!(read(&body, &list).unwrap_err(), BadPage::Invalid, "{body}");
    }
    for name in ["\u{1b}[2J", "a b", "", &"x".repeat(254)] {
        assert_eq!(read(&page(&[portal(name, "Fine")]), &list).unwrap_err(), BadPage::Name, "{name:?}");
    }
    let unnamed = json!({ "metadata": {}, "status": {} });
    assert_eq!(read(&page(&[unnamed]), &list).unwrap_err(), BadPage::Name);
}

#[test]
fn object_with_too_much_that_rules_read_is_unknown() {
    let rows = [
        ("object.status.large == 'x'", json!({ "large": "x".repeat(20_000) }), 1),
        ("object.status.list.exists(x, x == 'y')", json!({ "list": vec!["x"; 65] }), 1),
        ("object.status.list.exists(x, x == 'y')", json!({ "list": vec!["x"; 64] }), 0),
        ("object.status.phase == 'x'", json!({ "large": "x".repeat(20_000), "list": vec!["x"; 65] }), 0),
    ];
    for (failed, status, unknown) in rows {
        let object = json!({ "metadata": { "name": "a" }, "status": status });
        let (counts, _) = read(&page(&[object]), &list(failed)).unwrap();
        assert_eq!((counts.total, counts.unknown), (1, unknown), "{failed}");
        assert_eq!(counts.worst.first().and_then(|worst| worst.reason.as_deref()), (unknown == 1).then_some(TOO_LARGE));
    }
}

fn event_of(kind: &str, object: &serde_json::Value) -> Result<Event, BadPage> {
    let mut line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}").into_bytes();
    event(&list("object.status.phase == 'Broken'"), &mut line).map(|(event, _)| event)
}

#[test]
fn events_of_a_watch_are_read() {
    for kind in ["ADDED", "MODIFIED"] {
        let Ok(Event::Put(Object::Managed(object))) = event_of(kind, &portal("a", "Broken")) else { panic!("{kind}") };
        assert_eq!((object.id, object.state), (id("team", "a"), State::Failing));
    }
    let removed = event_of("DELETED", &portal("a", "Broken"));
    assert_eq!(removed, Ok(Event::Removed { name: "team/a".to_owned() }));
    let bookmark =
        |annotations| json!({ "kind": "Portal", "metadata": { "resourceVersion": "8", "annotations": annotations } });
    assert_eq!(event_of("BOOKMARK", &bookmark(json!(null))), Ok(Event::Bookmark));
    assert_eq!(event_of("BOOKMARK", &bookmark(json!({ "k8s.io/initial-events-end": "true" }))), Ok(Event::EndOfList));
    assert_eq!(event_of("ERROR", &json!({ "kind": "Status", "code": 410 })), Err(BadPage::Ended));
    assert_eq!(event_of("OTHER", &portal("a", "Fine")), Err(BadPage::Invalid));
    assert_eq!(event_of("ADDED", &json!([])).unwrap_err(), BadPage::Name);
}

#[test]
fn content_is_that_of_the_fields_that_rules_read() {
    let content = |object: &serde_json::Value| match event_of("MODIFIED", object) {
        Ok(Event::Put(Object::Managed(object))) => object.content,
        other => panic!("{other:?}"),
    };
    let first = content(&portal("a", "Fine"));
    let mut other = portal("a", "Fine");
    other["metadata"]["resourceVersion"] = json!("8");
    other["spec"]["secret"] = json!("another");
    assert_eq!(content(&other), first);
    assert_ne!(content(&portal("a", "Other")), first);
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<f64>().prop_map(|value| json!(value)),
        ".{0,12}".prop_map(|value| json!(value)),
    ];
    let key = prop_oneof![Just("metadata"), Just("status"), Just("phase"), Just("name"), Just("conditions"), Just("x")];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(|list| json!(list)),
            prop::collection::btree_map(key.clone(), inner, 0..6).prop_map(|fields| json!(fields)),
        ]
    })
}

proptest! {
    /// The rules see the field as it is, whatever stands around it.
    #[test]
    fn any_object_is_judged(object in any_json()) {
        let phase = object.get("status").and_then(|status| status.get("phase"));
        let expected = phase == Some(&json!("Broken"));
        let named = match object {
            serde_json::Value::Object(mut fields) => {
                fields.insert("metadata".to_owned(), json!({ "name": "a" }));
                serde_json::Value::Object(fields)
            }
            other => json!({ "metadata": { "name": "a" }, "x": other }),
        };
        let Ok(Event::Put(Object::Managed(read))) = event_of("ADDED", &named) else { panic!("{named}") };
        prop_assert_eq!(read.failing.is_some() && read.state == State::Failing && expected, expected);
    }

    #[test]
    fn any_text_is_an_error_or_an_answer(text in r#"[\[\]{}",:a-z0-9\\ ]{0,60}"#) {
        let mut objects = Objects::new(Listed::Managed(list("false")));
        let _ = add_page(&mut text.clone().into_bytes(), &list("false"), &mut objects);
        let _ = event(&list("false"), &mut text.into_bytes());
    }
}
