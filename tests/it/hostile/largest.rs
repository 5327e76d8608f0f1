//! Builds the largest object that a CRD admits from its schema. A field without a bound is an error.

use serde_json::{Map, Value, json};

/// The `spec` of the largest object by the schema of its CRD. `fixed` sets fields that a rule or a pattern restricts,
/// by path (`spec.components.0.kind`).
///
/// # Errors
/// Names the first field without a bound.
pub fn largest_spec(schema: &Value, fixed: &[(&str, Value)]) -> Result<Value, String> {
    largest(&schema["properties"]["spec"], "spec", fixed)
}

fn largest(schema: &Value, path: &str, fixed: &[(&str, Value)]) -> Result<Value, String> {
    if let Some((_, value)) = fixed.iter().find(|(wanted, _)| *wanted == path) {
        return Ok(value.clone());
    }
    if let Some(values) = schema["enum"].as_array() {
        return Ok(values.iter().max_by_key(|value| value.to_string().len()).cloned().unwrap_or_default());
    }
    let bound =
        |name: &str| schema[name].as_u64().map(|bound| bound as usize).ok_or_else(|| format!("{path} has no {name}"));
    match schema["type"].as_str() {
        Some("string") => Ok(json!("x".repeat(bound("maxLength")?))),
        Some("integer") => Ok(schema.get("maximum").cloned().ok_or_else(|| format!("{path} has no maximum"))?),
        Some("boolean") => Ok(json!(true)),
        Some("array") => {
            let item = largest(&schema["items"], &format!("{path}.0"), fixed)?;
            Ok(Value::Array(vec![item; bound("maxItems")?]))
        }
        Some("object") => match schema.get("additionalProperties") {
            Some(values) => {
                let value = largest(values, &format!("{path}.*"), fixed)?;
                let entry = |number: usize| (key(number), value.clone());
                Ok(Value::Object((0..bound("maxProperties")?).map(entry).collect()))
            }
            None => fields(schema, path, fixed),
        },
        None if schema["x-kubernetes-int-or-string"] == true => Ok(json!("100%")),
        other => Err(format!("{path} is of type {other:?}")),
    }
}

fn fields(schema: &Value, path: &str, fixed: &[(&str, Value)]) -> Result<Value, String> {
    let mut object = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let value = largest(field, &format!("{path}.{name}"), fixed)?;
        // A field fixed to null is left out.
        if !value.is_null() {
            object.insert(name.clone(), value);
        }
    }
    Ok(Value::Object(object))
}

/// A label key of maximum length.
fn key(number: usize) -> String {
    let prefix = ["p".repeat(63), "q".repeat(63), "r".repeat(63), "s".repeat(61)].join(".");
    format!("{prefix}/{number:0>63}")
}

#[test]
fn unbounded_field_is_named() {
    let spec = |field: Value| json!({ "properties": { "spec": { "type": "object", "properties": { "a": field } } } });
    let found = |field: Value| largest_spec(&spec(field), &[]);
    assert_eq!(found(json!({ "type": "string" })), Err("spec.a has no maxLength".to_owned()));
    assert_eq!(
        found(json!({ "type": "array", "items": { "type": "boolean" } })),
        Err("spec.a has no maxItems".to_owned())
    );
    let map = json!({ "type": "object", "additionalProperties": { "type": "string", "maxLength": 1 } });
    assert_eq!(found(map), Err("spec.a has no maxProperties".to_owned()));
    assert_eq!(found(json!({ "type": "string", "maxLength": 3 })), Ok(json!({ "a": "xxx" })));
}
