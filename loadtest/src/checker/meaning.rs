//! The meaning of a status for a user: all of it but times, and who wrote it from which report.

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
