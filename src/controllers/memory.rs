//! The memory budget of a replica for unusually large clusters.

use std::fs;

/// Upper bound, also for containers without a limit.
const MAX_BYTES: usize = 1 << 30;

/// The container's memory limit (cgroup v2).
const LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Bytes for state of clusters beyond that of an ordinary one: half of the container's limit.
pub(super) fn for_large_targets() -> usize {
    fs::read_to_string(LIMIT).map_or(MAX_BYTES, |limit| half_of(&limit))
}

/// `max` means unlimited.
fn half_of(limit: &str) -> usize {
    limit.trim().parse::<usize>().map_or(MAX_BYTES, |limit| (limit / 2).min(MAX_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_limit_is_for_large_targets() {
        assert_eq!(half_of("1073741824\n"), 1 << 29);
        assert_eq!([half_of("max\n"), half_of("99999999999\n"), half_of("")], [MAX_BYTES; 3]);
    }
}
