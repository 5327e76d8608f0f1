//! A stored status is read back as it was rendered, and fits its store.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::fit::fit;
use crate::domain::fit::tests::{largest_report, largest_verdict};
use crate::domain::status::{TargetStatus, Writer, target_status as render};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Far below the 1.5 MiB of etcd, with room for spec and metadata.
    #[test]
    fn status_of_any_verdict_fits_etcd_and_is_read_back(verdict in largest_verdict(), is_fitted in prop::bool::ANY) {
        let verdict = Arc::new(verdict);
        let fitted = if is_fitted { fit(&verdict) } else { (verdict, 0) };
        let omitted = fitted.1;
        let report = largest_report(fitted);
        let now = "2026-11-27T03:04:05.678901234Z".parse::<Timestamp>().unwrap();
        let writer = Writer { term: Term(1), managed_by: "fleet/ksit".to_owned(), now };
        let status = render(&report, |_| "t".repeat(63), None, &writer);
        let stored = serde_json::to_vec(&stored_target_status(status.clone())).unwrap();
        prop_assert!(stored.len() <= 1 << 20, "a status of {} bytes", stored.len());
        prop_assert!(!is_fitted || status.components_omitted.unwrap_or_default() == omitted, "it was cut once");
        let read: TargetStatus = target_status(serde_json::from_slice(&stored).unwrap());
        prop_assert_eq!(read.digest(&report.target), status.digest(&report.target));
        prop_assert_eq!(read, status);
    }
}

/// Any edit of a status by somebody else is seen, whatever its field.
#[test]
fn edited_field_changes_the_digest() {
    let json = serde_json::json!({
        "phase": "Failed", "ready": true, "healthy": "0/1", "message": "m", "componentsOmitted": 1, "server": "s:1",
        "observedGeneration": 1,
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Healthy", "message": "m",
            "lastTransitionTime": "2026-11-30T00:00:00Z", "observedGeneration": 1 }],
        "integrations": [{ "name": "flux", "type": "flux", "phase": "Failed", "reason": "R", "message": "m",
            "components": [{ "kind": "Deployment", "namespace": "n", "name": "c", "state": "Absent", "ready": 0,
                "desired": 1, "message": "m" }], "healthyComponents": ["Deployment n/d 1/1"] }],
    });
    let digest = |json: &serde_json::Value| {
        let stored: IntegrationTargetStatus = serde_json::from_value(json.clone()).unwrap();
        target_status(stored).digest(&crate::domain::keys::TargetKey::new("fleet", "c1")).meaning
    };
    let mut paths = Vec::new();
    leaves(&json, String::new(), &mut paths);
    assert_eq!(paths.len(), 26, "{paths:?}");
    for path in paths.iter().filter(|path| !path.ends_with("lastTransitionTime")) {
        let mut edited = json.clone();
        let field = edited.pointer_mut(path).unwrap();
        *field = match &*field {
            serde_json::Value::Bool(value) => (!*value).into(),
            serde_json::Value::Number(value) => (value.as_u64().unwrap() + 1).into(),
            _ if path.ends_with("/status") => "False".into(),
            value => format!("{}X", value.as_str().unwrap()).into(),
        };
        assert_ne!(digest(&edited), digest(&json), "{path}");
    }
}

fn leaves(json: &serde_json::Value, path: String, found: &mut Vec<String>) {
    match json {
        serde_json::Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| leaves(value, format!("{path}/{name}"), found));
        }
        serde_json::Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| leaves(value, format!("{path}/{index}"), found));
        }
        _ => found.push(path),
    }
}
