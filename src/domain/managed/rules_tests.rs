//! Tests of the default rule and of exceptions.

use super::*;

fn value(json: &serde_json::Value) -> Value<'static> {
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int)
        }
        serde_json::Value::String(text) => Value::Text(text.clone().into()),
        serde_json::Value::Array(list) => Value::List(list.iter().map(value).collect()),
        serde_json::Value::Object(fields) => {
            Value::Map(fields.iter().map(|(key, field)| (key.clone().into(), value(field))).collect())
        }
    }
}

fn now() -> Timestamp {
    "2026-05-01T12:00:00Z".parse().unwrap()
}

fn judged(texts: &RuleTexts, json: serde_json::Value) -> Judgement {
    Rules::compile(texts.clone()).unwrap().judge(&value(&json), now())
}

fn state(texts: &RuleTexts, json: serde_json::Value) -> State {
    judged(texts, json).state
}

fn failed(text: &str) -> RuleTexts {
    RuleTexts { failed: Some(text.to_owned()), ..RuleTexts::default() }
}

fn refusal(text: &str) -> String {
    Rules::compile(failed(text)).unwrap_err()
}

#[test]
fn default_rule_is_that_of_kstatus() {
    use serde_json::json;
    let conditions = |pairs: &[(&str, &str)]| {
        let list: Vec<_> = pairs.iter().map(|(kind, status)| json!({"type": kind, "status": status})).collect();
        json!({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": list}})
    };
    let rows = [
        (conditions(&[("Ready", "True")]), State::Healthy),
        (conditions(&[("Ready", "False")]), State::Failing),
        (conditions(&[("Ready", "Unknown")]), State::Progressing),
        (conditions(&[("Ready", "False"), ("Reconciling", "True")]), State::Progressing),
        (conditions(&[("Ready", "True"), ("Stalled", "True")]), State::Failing),
        (conditions(&[]), State::Healthy),
        (json!({}), State::Healthy),
        (json!({"metadata": {"deletionTimestamp": true}, "status": {}}), State::Progressing),
        (json!({"metadata": {"generation": 3}, "status": {"observedGeneration": 2}}), State::Progressing),
        (json!({"metadata": {"generation": 3}, "status": {"observedGeneration": "2"}}), State::Healthy),
    ];
    for (object, expected) in rows {
        assert_eq!(state(&RuleTexts::default(), object.clone()), expected, "{object}");
        assert_eq!(state(&failed("false"), object.clone()), expected, "{object}");
    }
}

#[test]
fn reason_and_time_are_those_of_the_condition() {
    let object = |reason: &str, time: &str| {
        serde_json::json!({"status": {"conditions": [
            {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": time}]}})
    };
    let known = judged(&RuleTexts::default(), object("BuildFailed", "2026-05-01T11:00:00Z"));
    assert_eq!(known.reason.as_deref(), Some("BuildFailed"));
    assert_eq!(known.since, "2026-05-01T11:00:00Z".parse().ok());
    for (reason, time) in [("not a word", "soon"), ("", "2027-01-01T00:00:00Z"), ("\u{1b}[2J", "")] {
        let unknown = judged(&RuleTexts::default(), object(reason, time));
        assert_eq!((unknown.state, unknown.reason, unknown.since), (State::Failing, None, None), "{reason:?} {time}");
    }
}

#[test]
fn exceptions_come_in_order() {
    let texts = RuleTexts {
        suspended: Some("object.spec.suspend".to_owned()),
        progressing: Some("object.status.phase == 'Syncing'".to_owned()),
        failed: Some("object.status.phase in ['Failed', 'Syncing']".to_owned()),
        reason: Some("object.status.phase + 'Badly'".to_owned()),
    };
    let object =
        |suspend: bool, phase: &str| serde_json::json!({"spec": {"suspend": suspend}, "status": {"phase": phase}});
    assert_eq!(state(&texts, object(true, "Failed")), State::Suspended);
    assert_eq!(state(&texts, object(false, "Syncing")), State::Progressing);
    let failing = judged(&texts, object(false, "Failed"));
    assert_eq!((failing.state, failing.reason.as_deref()), (State::Failing, Some("FailedBadly")));
    assert_eq!(state(&texts, object(false, "Healthy")), State::Healthy);
    let deleted = serde_json::json!({"metadata": {"deletionTimestamp": true}, "status": {"phase": "Failed"}});
    assert_eq!(state(&texts, deleted), State::Progressing);
}

#[test]
fn absent_field_makes_an_expression_false_and_another_fault_unknown() {
    let object = serde_json::json!({"status": {"phase": 3}});
    assert_eq!(state(&failed("object.status.health.status == 'Degraded'"), object.clone()), State::Healthy);
    assert_eq!(state(&failed("!has(object.status.health)"), object.clone()), State::Failing);
    assert_eq!(state(&failed("!has(object.spec.a)"), serde_json::json!({})), State::Failing);
    for text in ["object.status.phase", "object.status.phase + 'a' == 'b'", "timestamp(object.status.phase) < now"] {
        let unknown = judged(&failed(text), object.clone());
        assert_eq!((unknown.state, unknown.reason.as_deref()), (State::Unknown, Some(RULE_FAILED)), "{text}");
    }
}

#[test]
fn rules_know_the_time() {
    let texts = failed("timestamp(object.status.notAfter) < now + duration('336h')");
    let object = |time: &str| serde_json::json!({"status": {"notAfter": time}});
    assert_eq!(state(&texts, object("2026-05-10T12:00:00Z")), State::Failing);
    assert_eq!(state(&texts, object("2026-05-16T12:00:00Z")), State::Healthy);
    assert_eq!(state(&texts, object("nonsense")), State::Unknown);
}

#[test]
fn expression_without_bound_or_meaning_is_refused() {
    let nested = "object.a.exists(x, object.b.exists(y, object.c.exists(z, x == y && y == z)))";
    let doubled = "object.a.map(x, x + x).map(x, x + x).exists(x, x == 'a')";
    let rows = [
        (nested, "steps"),
        (doubled, "macro"),
        ("object.status.phase = 'a'", "not a valid CEL expression"),
        ("object.", "not a valid CEL expression"),
        ("", "not a valid CEL expression"),
        ("frobnicate(object)", "there is no function \"frobnicate\""),
        ("subject.status == 'a'", "there is no variable \"subject\""),
        (&"(".repeat(900), "nests more"),
        (&("true?true:".repeat(90) + "true"), "nests more"),
        (&("1+".repeat(500) + "1 == 1"), "deeper than"),
        (&("!".repeat(900) + "x"), "variable"),
        (&("[".repeat(900)), "nests more"),
        (&format!("'{}' == 'a'", "a".repeat(1024)), "longer than"),
    ];
    for (text, expected) in rows {
        let error = refusal(text);
        assert!(error.starts_with("failed: ") && error.contains(expected), "{text:.60}: {error}");
    }
    let usual = [
        "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'False')",
        "object.metadata.labels.exists(k, k.startsWith('a'))",
        "object.status.a.matches('^b') || size(object.status.c) > 3 || quantity('1Ki').isGreaterThan(quantity('1'))",
        "object.a.exists(x, x.b.exists(y, y == 'c'))",
    ];
    for text in usual {
        assert_eq!(Rules::compile(failed(text)).err(), None, "{text}");
    }
}
