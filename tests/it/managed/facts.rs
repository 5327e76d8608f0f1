//! Facts about the objects that tools manage, in `fixtures/`, and the built-in rules' judgement of each.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use ksit::api::catalogue;
use ksit::domain::managed::{Fields, ManagedKind, Rules, State, Value};
use serde::Deserialize;

/// The time at which the cases are judged.
pub const NOW: &str = "2026-05-01T12:00:00Z";

/// One object of a tool, and its state.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub kind: String,
    /// Unique among the cases of the kind.
    pub name: String,
    /// The documentation or the code that says how the tool writes such an object.
    pub source: String,
    #[serde(default)]
    pub object: serde_json::Value,
    state: String,
    /// Present for a failing object whose rule or condition gives one.
    pub reason: Option<String>,
}

impl Case {
    pub fn state(&self) -> State {
        match self.state.as_str() {
            "Healthy" => State::Healthy,
            "Progressing" => State::Progressing,
            "Suspended" => State::Suspended,
            "Failing" => State::Failing,
            "Unknown" => State::Unknown,
            other => panic!("{}, {}: there is no state {other}", self.kind, self.name),
        }
    }
}

/// The cases of a built-in tool.
pub fn cases(tool: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/managed/fixtures/{tool}.yaml"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{tool}.yaml: {error}"))
}

/// The fields of an object that rules read, as they are decoded from a cluster's answer.
fn project(json: &serde_json::Value, fields: Option<&Fields>) -> Value<'static> {
    if fields.is_some_and(Fields::is_presence) {
        return Value::Bool(true);
    }
    let below = |name: &str| match fields {
        Some(fields) if !fields.reads_all() => fields.get(name).map(Some),
        _ => Some(None),
    };
    match json {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(value) => Value::Bool(*value),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap()), Value::Int)
        }
        serde_json::Value::String(text) => Value::Text(text.clone().into()),
        serde_json::Value::Array(list) => {
            let element = fields.filter(|fields| !fields.reads_all()).and_then(Fields::elements);
            Value::List(list.iter().map(|value| project(value, element)).collect())
        }
        serde_json::Value::Object(map) => Value::Map(
            map.iter().filter_map(|(key, value)| Some((key.clone().into(), project(value, below(key)?)))).collect(),
        ),
    }
}

fn judged(rules: &Rules, case: &Case) -> (State, Option<String>) {
    let judgement = rules.judge(&project(&case.object, Some(rules.fields())), NOW.parse::<Timestamp>().unwrap());
    (judgement.state, judgement.reason)
}

fn kinds(tool: &str) -> &'static [ManagedKind] {
    &catalogue::tool(tool).unwrap().resources
}

fn tools() -> impl Iterator<Item = &'static str> {
    catalogue::tools().iter().filter(|tool| !tool.resources.is_empty()).map(|tool| tool.name.as_str())
}

#[test]
fn managed_built_in_rules_judge_each_fact() {
    let mut wrong = Vec::new();
    for tool in tools() {
        for case in cases(tool) {
            let title = format!("{tool}: {}, {}", case.kind, case.name);
            assert!(case.source.starts_with("https://"), "{title}: no source");
            let kind = kinds(tool).iter().find(|kind| kind.kind == case.kind);
            let kind = kind.unwrap_or_else(|| panic!("{title}: the tool does not manage the kind"));
            let found = judged(&kind.lists[0].rules, &case);
            let reason = (case.state() != State::Unknown).then(|| case.reason.clone());
            if found.0 != case.state() || reason.is_some_and(|reason| reason != found.1) {
                wrong.push(format!("{title}: {found:?}, not {:?} {:?}", case.state(), case.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn managed_kinds_have_facts_of_healthy_and_failing_objects() {
    for tool in tools() {
        let cases = cases(tool);
        let names: BTreeSet<_> = cases.iter().map(|case| (&case.kind, &case.name)).collect();
        assert_eq!(names.len(), cases.len(), "{tool}: two cases of one name");
        for kind in kinds(tool) {
            let rules = kind.lists[0].rules.texts();
            let mut expected = vec![State::Healthy, State::Progressing, State::Failing];
            expected.extend(rules.suspended.iter().map(|_| State::Suspended));
            for state in expected {
                let is_there = cases.iter().any(|case| case.kind == kind.kind && case.state() == state);
                assert!(is_there, "{tool}: no {} that is {state:?}", kind.kind);
            }
        }
    }
}
