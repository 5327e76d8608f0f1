//! A status fits its store.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::domain::fit::tests::largest_verdict;
use crate::domain::replica::{Epoch, ReplicaName};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Far below the 1.5 MiB of etcd, with room for spec and metadata.
    #[test]
    fn status_of_any_verdict_fits_etcd(verdict in largest_verdict(), is_fitted in prop::bool::ANY) {
        let verdict = Arc::new(verdict);
        let (verdict, omitted) = if is_fitted { fit(&verdict) } else { (verdict, 0) };
        let report = TargetReport {
            target: TargetKey::new("n".repeat(63), "t".repeat(253)),
            verdict,
            omitted,
            mode: None,
            generation: 1,
            secret_version: None,
            server: Some("h".repeat(253)),
            credential_ends: None,
            reported_by: ReplicaName::new("ksit-1"),
            epoch: Epoch(1),
            next: Duration::ZERO,
        };
        let writer = Writer { term: 1, managed_by: "fleet/ksit".to_owned(), now: Timestamp::UNIX_EPOCH };
        let status = target_status(&report, |_| "t".repeat(63), None, &writer);
        let stored = serde_json::to_vec(&status).map(|json| json.len()).unwrap_or(usize::MAX);
        prop_assert!(stored <= 1 << 20, "a status of {} bytes", stored);
        prop_assert!(!is_fitted || status.components_omitted.unwrap_or_default() == omitted, "it was cut once");
    }
}
