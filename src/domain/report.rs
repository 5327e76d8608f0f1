//! What a replica tells the coordinator of one target.

use std::time::Duration;

use super::keys::TargetKey;
use super::verdict::TargetVerdict;

/// The verdicts and observations of one target, and what they were made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    pub target: TargetKey,
    pub verdict: TargetVerdict,
    /// Generation of the IntegrationTarget's spec.
    pub generation: i64,
    /// resourceVersion of the kubeconfig Secret.
    pub secret_version: Option<String>,
    /// Host and port that were dialled.
    pub server: Option<String>,
    /// The replica that looked.
    pub reported_by: String,
    /// Epoch of the shard map by which it owned the target.
    pub epoch: i64,
    /// When the next report is due, counted from this one: later than the interval while a target is backed off.
    pub next: Duration,
}
