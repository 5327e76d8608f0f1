//! Tests that statuses fit into etcd and `kubectl get`.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::fit::tests::{largest_report, largest_verdict};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Far below the 1.5 MiB of etcd, with room for spec and metadata.
    #[test]
    fn status_of_any_verdict_fits_etcd(verdict in largest_verdict(), is_fitted in prop::bool::ANY) {
        let verdict = Arc::new(verdict);
        let fitted = if is_fitted { fit(&verdict) } else { (verdict, 0) };
        let omitted = fitted.1;
        let report = largest_report(fitted);
        let writer = Writer { term: 1, managed_by: "fleet/ksit".to_owned(), now: Timestamp::UNIX_EPOCH };
        let status = target_status(&report, |_| "t".repeat(63), None, &writer);
        let stored = serde_json::to_vec(&status).map(|json| json.len()).unwrap_or(usize::MAX);
        prop_assert!(stored <= 1 << 20, "a status of {} bytes", stored);
        prop_assert!(!is_fitted || status.components_omitted.unwrap_or_default() == omitted, "it was cut once");
    }
}

#[test]
fn message_column_is_cut_at_a_word() {
    let whole = "a".repeat(80);
    assert_eq!(brief(&whole), whole);
    let long =
        "0/1 clusters healthy; one: 3/4 components healthy: Deployment flux-system/helm-controller is scaled to 0";
    assert_eq!(brief(long), "0/1 clusters healthy; one: 3/4 components healthy: Deployment…");
    assert_eq!(brief(&"ü".repeat(90)), format!("{}…", "ü".repeat(79)));
    assert_eq!(brief(&format!("{}; and more of it", "b".repeat(77))), format!("{}…", "b".repeat(77)));
}
