//! Messages between workers and the coordinator.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::check_mode::CheckMode;
use super::digest::Digest;
use super::keys::TargetKey;
use super::replica::{Epoch, ReplicaName};
use super::verdict::TargetVerdict;

/// The verdicts and observations of one target, and the inputs they were derived from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// Namespace and name on the hub.
    pub target: TargetKey,
    /// Shrunk to a size that a status can store.
    pub verdict: Arc<TargetVerdict>,
    /// Number of components omitted from it.
    pub omitted: u32,
    /// How the target is checked; `None` if it was not reached yet, or if the replica's version doesn't report it.
    pub mode: Option<CheckMode>,
    /// Generation of the IntegrationTarget's spec.
    pub generation: i64,
    /// resourceVersion of the kubeconfig Secret.
    pub secret_version: Option<String>,
    /// The dialled host and port.
    pub server: Option<String>,
    /// When the credential expires, if soon.
    pub credential_ends: Option<Timestamp>,
    /// Why its token can't be renewed; only with `credential_ends`.
    pub renewal_failure: Option<String>,
    /// Remark on the connection that is no fault, such as a CA that is skipped.
    pub note: Option<String>,
    /// The replica that checked the target.
    pub reported_by: ReplicaName,
    /// Epoch of the shard map in which it owned the target.
    pub epoch: Epoch,
    /// Time from this report to the next one: longer than the interval while the target is backed off.
    pub next: Duration,
}

impl TargetReport {
    /// A report of the verdict alone: how, by which replica and from which spec it was made is left empty.
    pub fn new(target: TargetKey, verdict: Arc<TargetVerdict>) -> Self {
        Self {
            target,
            verdict,
            omitted: 0,
            mode: None,
            generation: 0,
            secret_version: None,
            server: None,
            credential_ends: None,
            renewal_failure: None,
            note: None,
            reported_by: ReplicaName::new(""),
            epoch: Epoch(0),
            next: Duration::ZERO,
        }
    }

    /// Whether both reports are equal apart from [`Self::next`].
    pub fn says_the_same(&self, other: &Self) -> bool {
        *self == Self { next: self.next, ..other.clone() }
    }
}

/// A message from a worker. `sequence` increases over one link: a report with a lower one is older. `epoch` is that of
/// the worker's map when it sends: it reports no targets of slots that it has lost by then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// Digests of the targets reported for the first time on this link; the coordinator requests those that differ.
    Digests {
        /// Orders the messages of one link.
        sequence: u64,
        /// Epoch of the worker's map.
        epoch: Epoch,
        /// At most 2,000; more follow in further messages.
        digests: Vec<Digest>,
    },
    /// A report that changed or was requested.
    Report {
        /// Orders the messages of one link.
        sequence: u64,
        /// That of the report's [`Digest`]; `None` from a worker of an earlier version.
        meaning: Option<u128>,
        /// Carries the epoch of the worker's map.
        report: Box<TargetReport>,
    },
    /// The state of all targets in a few bytes.
    Heartbeat(Heartbeat),
}

/// Sent once per round, and after the response to [`ToWorker::Confirm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Epoch of the worker's map.
    pub epoch: Epoch,
    /// Number of targets that were sent over this link, as a digest or in full, and that this worker still owns.
    pub targets: u32,
    /// Those targets (as in [`Digest::target`]) whose last round is overdue. All others were checked since.
    pub late: Vec<u64>,
    /// [`Digest::of_set`] of all these targets; `None` from a worker of an earlier version.
    pub set: Option<u64>,
    /// The digests requested by [`ToWorker::Confirm`] were sent just before.
    pub confirms: bool,
}

/// A message from the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// Send the reports of these targets.
    Want {
        /// As in [`Digest::target`].
        targets: Vec<u64>,
    },
    /// Acknowledges everything up to this number: accepted, or permanently refused.
    Taken {
        /// Number of a message on this link.
        sequence: u64,
    },
    /// Send the digests of all targets that a heartbeat counts, then a heartbeat. Sent only to workers whose heartbeats
    /// have a `set`.
    Confirm,
}
