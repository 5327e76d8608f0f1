//! Orders resourceVersions.

use std::sync::Once;

/// Returns the version as a number, which Kubernetes guarantees as of 1.35. Any other version is 0 and thus never
/// newer: then only fresh reads take effect.
pub fn order(version: Option<&str>) -> u128 {
    static WARNED: Once = Once::new();
    let Some(version) = version.filter(|version| !version.is_empty()) else { return 0 };
    version.parse().unwrap_or_else(|_| {
        WARNED.call_once(|| {
            tracing::warn!(
                "the hub's resourceVersions are not numbers: Lease and ShardMap changes are noticed late, if at all"
            );
        });
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers_and_others_are_lowest() {
        assert!(order(Some("10")) > order(Some("9")));
        for version in [None, Some(""), Some("a9"), Some("-1")] {
            assert_eq!(order(version), 0);
        }
    }
}
