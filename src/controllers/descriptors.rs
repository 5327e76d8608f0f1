//! How the file descriptors of a replica are shared out.
//!
//! Each cluster takes one, and thousands of clusters may take all there are. A part is kept back for all that must go on
//! then: watches of the hub, Leases, status writes, reports, and the probes of the kubelet.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Kept back for all that is no cluster, of a limit that is large enough.
const OTHERS: u64 = 512;

/// Connections for probes and scrapes, of a limit that is large enough.
const PROBES: u64 = 64;

/// As many as this process may have open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors(u64);

impl Descriptors {
    /// Raises the limit as far as it goes without privileges, as Go programs do: many hosts start containers with 1,024.
    pub fn raise() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        let limit = if raised.is_ok() { maximum } else { current };
        let limit = limit.unwrap_or(u64::MAX);
        let before = current.unwrap_or(u64::MAX);
        match raised {
            Ok(()) if before < limit => tracing::info!(before, limit, "raised the limit of file descriptors"),
            Ok(()) => tracing::info!(limit, "limit of file descriptors"),
            Err(error) => tracing::warn!(limit, %error, "the limit of file descriptors can't be raised"),
        }
        Self(limit)
    }

    /// Connections to clusters.
    pub fn for_targets(self) -> usize {
        let others = OTHERS.min(self.0.saturating_mul(2) / 3);
        usize::try_from(self.0 - others).unwrap_or(usize::MAX).max(1)
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
    fn most_descriptors_are_for_clusters_and_some_never_are() {
        let shared = |limit| (Descriptors(limit).for_targets(), Descriptors(limit).for_probes());
        assert_eq!(shared(1_048_576), (1_048_064, 64));
        assert_eq!(shared(1_024), (512, 64));
        assert_eq!(shared(64), (22, 8));
        assert_eq!(shared(0), (1, 4));
        assert!(shared(u64::MAX).0 > 1 << 60);
    }
}
