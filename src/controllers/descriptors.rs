//! Raises the file descriptor limit and divides it between clusters and everything else.
//!
//! Each cluster takes one descriptor, and thousands may exhaust the limit. A part is reserved for everything that must
//! keep working then: hub watches, Leases, status writes, reports and kubelet probes.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reserved for everything but clusters, if the limit is large enough.
const RESERVED: u64 = 512;

/// Connections for probes and scrapes, if the limit is large enough.
const PROBES: u64 = 64;

/// The file descriptor limit of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors(u64);

impl Descriptors {
    /// Raises the limit as far as it goes without privileges, as Go programs do: many hosts start containers with
    /// 1,024.
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        let limit = limit.unwrap_or(u64::MAX);
        let before = current.unwrap_or(u64::MAX);
        match raised {
            Ok(()) if before < limit => tracing::info!(before, limit, "raised the file descriptor limit"),
            Ok(()) => tracing::info!(limit, "file descriptor limit"),
            Err(error) => tracing::warn!(limit, %error, "can't raise the file descriptor limit"),
        }
        Self(limit)
    }

    /// Connections to clusters.
    pub fn for_targets(self) -> usize {
        let reserved = RESERVED.min(self.0.saturating_mul(2) / 3);
        usize::try_from(self.0 - reserved).unwrap_or(usize::MAX).max(1)
    }

    /// Connections to `/livez`, `/readyz` and `/metrics`.
    pub fn for_probes(self) -> usize {
        usize::try_from((self.0 / 8).clamp(4, PROBES)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_get_most_descriptors_but_never_all() {
        let shared = |limit| (Descriptors(limit).for_targets(), Descriptors(limit).for_probes());
        assert_eq!(shared(1_048_576), (1_048_064, 64));
        assert_eq!(shared(1_024), (512, 64));
        assert_eq!(shared(64), (22, 8));
        assert_eq!(shared(0), (1, 4));
        assert!(shared(u64::MAX).0 > 1 << 60);
    }
}
