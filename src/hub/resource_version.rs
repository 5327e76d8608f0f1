//! The order of resourceVersions.

use std::sync::Once;

/// API servers count, which Kubernetes promises as of 1.35. A version that is no number comes before every other: then
/// nothing is ever newer, and only what is read anew counts.
pub fn order(version: Option<&str>) -> u128 {
    static WARNED: Once = Once::new();
    let Some(version) = version.filter(|version| !version.is_empty()) else { return 0 };
    version.parse().unwrap_or_else(|_| {
        WARNED.call_once(|| {
            tracing::warn!(
                "the hub's resourceVersions are no numbers: Leases and the map are followed late, if at all"
            );
        });
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_and_others_come_before_them() {
        assert!(order(Some("10")) > order(Some("9")));
        for version in [None, Some(""), Some("a9"), Some("-1")] {
            assert_eq!(order(version), 0);
        }
    }
}
