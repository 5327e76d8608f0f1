//! Identities of replicas, and the two numbers that order their actions.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

/// Name of a replica's StatefulSet Pod, such as `ksit-0`. It outlives the process. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaName(Arc<str>);

impl ReplicaName {
    /// Any name is accepted; see [`Self::ordinal`].
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name of the Pod.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number after the last dash. `None` for a name that no StatefulSet creates, such as `ksit-` or `ksit-01`.
    pub fn ordinal(&self) -> Option<u32> {
        let (_, digits) = self.0.rsplit_once('-')?;
        digits.parse().ok().filter(|number: &u32| number.to_string() == digits)
    }
}

impl Borrow<str> for ReplicaName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReplicaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One process of a replica. The Pod UID distinguishes Pods with the same name, the nonce processes of the same Pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Name of the Pod.
    pub name: ReplicaName,
    /// `metadata.uid` of the Pod; a replica outside a Pod has any other text.
    pub pod_uid: Arc<str>,
    /// Random, generated once per process.
    pub nonce: Arc<str>,
}

impl Incarnation {
    /// From `metadata.name` and `metadata.uid` of the Pod, and 128 random bits as text.
    pub fn new(name: impl Into<Arc<str>>, pod_uid: impl Into<Arc<str>>, nonce: impl Into<Arc<str>>) -> Self {
        Self { name: ReplicaName::new(name), pod_uid: pod_uid.into(), nonce: nonce.into() }
    }
}

impl fmt::Display for Incarnation {
    /// Formatted as `holderIdentity` of a Lease.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.name, self.pod_uid, self.nonce)
    }
}

/// The Pod that a token was issued to, according to the hub's API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodIdentity {
    pub name: String,
    pub uid: String,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub i64);

        impl $name {
            /// One more; the highest number is its own successor.
            pub fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// Number of a coordinator's term. The first is 1; 0 stands for "none yet".
    Term
);
number!(
    /// Version of the shard map. The first is 1; 0 stands for "none yet".
    Epoch
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinal_is_parsed_as_a_stateful_set_writes_it() {
        let ordinal = |name: &str| ReplicaName::new(name).ordinal();
        assert_eq!(["ksit-0", "ksit-12", "my-ksit-3"].map(ordinal), [Some(0), Some(12), Some(3)]);
        assert_eq!(["ksit", "ksit-", "ksit-01", "ksit-+1", "ksit-x", ""].map(ordinal), [None; 6]);
    }

    #[test]
    fn incarnation_formats_as_the_lease_holder() {
        assert_eq!(Incarnation::new("ksit-0", "uid", "nonce").to_string(), "ksit-0_uid_nonce");
    }

    #[test]
    fn numbers_increment_by_one() {
        assert_eq!(Term(1).next(), Term(2));
        assert_eq!(Epoch::default().next(), Epoch(1));
    }
}
