//! What a replica tells the coordinator, and what it is answered.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::check_mode::CheckMode;
use super::digest::Digest;
use super::keys::TargetKey;
use super::replica::{Epoch, ReplicaName};
use super::verdict::TargetVerdict;

/// The verdicts and observations of one target, and what they were made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    pub target: TargetKey,
    /// As it fits; see [`fit`](super::fit::fit).
    pub verdict: Arc<TargetVerdict>,
    /// Components that are left out of it.
    pub omitted: u32,
    /// How it is looked at; `None` where nothing was reached yet, or the replica is of a version that doesn't say.
    pub mode: Option<CheckMode>,
    /// Generation of the IntegrationTarget's spec.
    pub generation: i64,
    /// resourceVersion of the kubeconfig Secret.
    pub secret_version: Option<String>,
    /// Host and port that were dialled.
    pub server: Option<String>,
    /// When the credential ends, if that is soon.
    pub credential_ends: Option<Timestamp>,
    /// The replica that looked.
    pub reported_by: ReplicaName,
    /// Epoch of the shard map by which it owned the target.
    pub epoch: Epoch,
    /// When the next report is due, counted from this one: later than the interval while a target is backed off.
    pub next: Duration,
}

impl TargetReport {
    /// When the next one is due is no news.
    pub fn says_the_same(&self, other: &Self) -> bool {
        *self == Self { next: self.next, ..other.clone() }
    }
}

/// What a worker says to the coordinator. The numbers `sequence` grow over one link, and a report with a lower one is
/// older. `epoch` is that of the map the worker works by as it sends: of a slot that it lost meanwhile it says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromWorker {
    /// What targets mean that are reported for the first time on this link; the coordinator wants what differs.
    Digests {
        sequence: u64,
        epoch: Epoch,
        digests: Vec<Digest>,
    },
    /// Something changed, or it was wanted. `meaning` is that of its [`Digest`]; none from a worker of an earlier
    /// version.
    Report {
        sequence: u64,
        meaning: Option<u128>,
        report: Box<TargetReport>,
    },
    Heartbeat(Heartbeat),
}

/// Once a round, and after an answer to [`ToWorker::Confirm`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    pub epoch: Epoch,
    /// Number of targets that this link has carried, as a digest or in full, and that are still this worker's.
    pub targets: u32,
    /// Those of them (as in [`Digest::target`]) whose last round is overdue: all others were looked at since.
    pub late: Vec<u64>,
    /// The digests of all of them, as [`Digest::of_set`]; none from a worker of an earlier version.
    pub set: Option<u64>,
    /// The digests that [`ToWorker::Confirm`] asks for came just before.
    pub confirms: bool,
}

/// What the coordinator answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// Send the reports of these targets (as in [`Digest::target`]).
    Want { targets: Vec<u64> },
    /// Everything up to this number was taken, or refused for good.
    Taken { sequence: u64 },
    /// Send the digests of everything that a heartbeat counts, and then a heartbeat. Only a worker is asked whose
    /// heartbeats have a `set`.
    Confirm,
}
