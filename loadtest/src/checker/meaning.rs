//! Reduces a status to its meaning for a user: everything except times, writer and source report.

use serde_json::Value;

const MEANINGLESS: [&str; 8] = [
    "lastSyncTime",
    "lastTransitionTime",
    "history",
    "coordinatorTerm",
    "managedBy",
    "reportedBy",
    "reportEpoch",
    "secretResourceVersion",
];

pub(super) fn meaning(status: &Value) -> Value {
    match status {
        Value::Object(fields) => {
            let means = fields.iter().filter(|(name, _)| !MEANINGLESS.contains(&name.as_str()));
            Value::Object(means.map(|(name, value)| (name.clone(), meaning(value))).collect())
        }
        Value::Array(items) => items.iter().map(meaning).collect(),
        other => other.clone(),
    }
}
