//! How much of its memory a replica gives to unusually large clusters.

use std::fs;

/// At most, also where the container has no limit.
const MOST: usize = 1 << 30;

/// The memory limit of the container, by cgroup v2.
const LIMIT: &str = "/sys/fs/cgroup/memory.max";

/// Bytes for what is kept of clusters beyond what an ordinary one takes: half of what the container may take.
pub(super) fn for_large_targets() -> usize {
    fs::read_to_string(LIMIT).map_or(MOST, |limit| half_of(&limit))
}

/// `max` is no limit.
fn half_of(limit: &str) -> usize {
    limit.trim().parse::<usize>().map_or(MOST, |limit| (limit / 2).min(MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_limit_is_for_large_targets() {
        assert_eq!(half_of("1073741824\n"), 1 << 29);
        assert_eq!([half_of("max\n"), half_of("99999999999\n"), half_of("")], [MOST; 3]);
    }
}
