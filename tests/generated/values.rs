//! Every chart value has an explanation, a row in the table of the chart's README, and a schema.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{generated_between, read};

/// A value with its comment `# -- …`.
struct Row {
    path: String,
    meaning: String,
}

/// Reads the comments, and finds by indentation the keys below them.
fn rows() -> Vec<Row> {
    let (mut rows, mut open, mut meaning) = (Vec::new(), Vec::<(usize, String)>::new(), None::<String>);
    for line in read("chart/values.yaml").lines() {
        let text = line.trim_start();
        let depth = line.len() - text.len();
        if let Some(comment) = text.strip_prefix("# -- ") {
            meaning = Some(comment.to_owned());
            continue;
        }
        let Some((key, _)) = text.split_once(':').filter(|(key, _)| !key.starts_with(['#', '-'])) else { continue };
        open.retain(|(outer, _)| *outer < depth);
        open.push((depth, key.to_owned()));
        if let Some(meaning) = meaning.take() {
            let path: Vec<&str> = open.iter().map(|(_, key)| key.as_str()).collect();
            rows.push(Row { path: path.join("."), meaning });
        }
    }
    rows
}

fn at<'a>(value: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(value, |value, key| &value[key])
}

/// The paths of all values. An object with keys in the schema is not a value itself.
fn paths(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        if schema["properties"].is_object() {
            paths(schema, &path, found);
        } else {
            found.insert(path);
        }
    }
}

/// Finds objects that list their keys and still accept others.
fn find_open(schema: &Value, path: &str, found: &mut Vec<String>) {
    if schema["properties"].is_object() && schema["additionalProperties"] != false {
        found.push(path.to_owned());
    }
    match schema {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, field)| find_open(field, &format!("{path}/{key}"), found))
        }
        Value::Array(items) => items.iter().for_each(|item| find_open(item, path, found)),
        _ => {}
    }
}

#[test]
fn chart_readme_lists_every_value() {
    let values: Value = serde_saphyr::from_str(&read("chart/values.yaml")).unwrap();
    let row = |Row { path, meaning }: Row| {
        let default = serde_json::to_string(at(&values, &path)).unwrap();
        format!("| `{path}` | `{default}` | {} |\n", meaning.replace('|', "\\|"))
    };
    let rows: String = rows().into_iter().map(row).collect();
    generated_between(
        "chart/README.md",
        "values",
        &format!("| value | default | meaning |\n| --- | --- | --- |\n{rows}"),
    );
}

#[test]
fn chart_values_are_explained_and_checked() {
    let values: Value = serde_saphyr::from_str(&read("chart/values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("chart/values.schema.json")).unwrap();
    let mut schema_values = BTreeSet::new();
    paths(&schema, "", &mut schema_values);
    // Other fields that a probe or a container may have are not values of the chart.
    let is_set = |path: &String| !at(&values, path).is_null() || path == "terminationGracePeriodSeconds";
    schema_values.retain(is_set);
    let explained: BTreeSet<String> = rows().into_iter().map(|row| row.path).collect();
    let below = |path: &String| explained.iter().any(|row| row.starts_with(&format!("{path}.")));
    let unexplained: Vec<&String> =
        schema_values.iter().filter(|path| !explained.contains(*path) && !below(path)).collect();
    assert!(unexplained.is_empty(), "values without a comment `# -- …`: {unexplained:?}");
    let mut found = Vec::new();
    find_open(&schema, "", &mut found);
    assert!(found.is_empty(), "these accept unknown keys: {found:?}");
}
