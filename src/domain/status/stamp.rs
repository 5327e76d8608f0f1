//! Times in a status: each moves only with the phase or condition that it belongs to.

use jiff::Timestamp;

use super::{Condition, TargetStatus, Truth};
use crate::domain::replica::Term;
use crate::domain::verdict::Phase;

/// The coordinator that writes, and the time of the write.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Term in which it writes.
    pub term: Term,
    /// Installation, as `namespace/name`.
    pub managed_by: String,
    /// Time of the write.
    pub now: Timestamp,
}

/// Times for a status that follows `former`.
pub(super) struct Stamps<'a> {
    pub(super) now: Timestamp,
    pub(super) former: Option<&'a TargetStatus>,
}

impl Stamps<'_> {
    pub(super) fn condition(&self, kind: &str, truth: Truth) -> Timestamp {
        let former = self.former.map(|former| former.conditions.as_slice()).unwrap_or_default();
        condition_since(former, kind, truth, self.now)
    }

    pub(super) fn phase(&self, phase: Phase) -> Timestamp {
        let former = self.former;
        phase_since(former.and_then(|former| former.phase), former.and_then(|former| former.since), phase, self.now)
    }

    pub(super) fn tool(&self, name: &str, phase: Phase) -> Timestamp {
        let former = self.former.and_then(|former| former.tools.iter().find(|tool| tool.name == name));
        phase_since(former.and_then(|tool| tool.phase), former.and_then(|tool| tool.since), phase, self.now)
    }
}

pub(super) fn condition_since(former: &[Condition], kind: &str, truth: Truth, now: Timestamp) -> Timestamp {
    let unchanged = former.iter().find(|former| former.kind == kind && former.truth == truth);
    unchanged.map_or_else(|| in_seconds(now), |former| former.since)
}

/// Time of the last change to `phase`: now, unless the former phase is the same.
pub(super) fn phase_since(former: Option<Phase>, since: Option<Timestamp>, phase: Phase, now: Timestamp) -> Timestamp {
    since.filter(|_| former == Some(phase)).unwrap_or_else(|| in_seconds(now))
}

/// The precision of times in Kubernetes.
fn in_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
