//! The rules around the election crate: when it may be asked at all.
//!
//! The crate judges by the wall clock and writes without a resourceVersion, so two replicas can both believe that they
//! lead. Here is decided from what this replica saw itself, on its own clock:
//!
//! ```text
//!                ┌─ ours, or no Lease ──────────────> ask the crate
//! Lease as seen ─┤─ free, silent, or broken ────────> vacate by compare-and-swap, then ask
//!                ├─ somebody else's, alive ─────────> wait
//!                └─ lost, or too late while leading > step down
//! ```

use std::time::Duration;

use thiserror::Error;

use crate::domain::claim::Claim;

/// Who asks: `podName_podUID_random`. Never empty: to the crate an empty holder is a free Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the identity for the election needs the Pod's name, the Pod's UID and a random part: one of them is empty")]
pub struct EmptyIdentity;

impl Identity {
    /// `random` is 128 bits as text, drawn once for the process.
    pub fn new(pod_name: &str, pod_uid: &str, random: &str) -> Result<Self, EmptyIdentity> {
        let parts = [pod_name, pod_uid, random];
        if parts.iter().any(|part| part.trim().is_empty()) { Err(EmptyIdentity) } else { Ok(Self(parts.join("_"))) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an answer of the crate means that the Lease is ours. Whatever else it says, anything but our own name
    /// in it does not.
    pub fn acquired(&self, holder: Option<&str>) -> bool {
        holder == Some(self.as_str())
    }

    /// Whether `holder` is an earlier process of this replica. There is one Pod of a name at a time, and should the old
    /// process live all the same, the term fences it off: no need to wait until its Lease has run out.
    fn succeeds(&self, holder: &str) -> bool {
        let name = |identity: &str| identity.split_once('_').map(|(name, _)| name.to_owned());
        name(holder).is_some() && name(holder) == name(&self.0)
    }
}

/// The coordinator's Lease: the newest that a watch or an answer showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionLease {
    pub resource_version: String,
    /// Empty and absent mean the same.
    pub holder: Option<String>,
    /// `renewTime`, `leaseDurationSeconds`, `acquireTime` and `leaseTransitions` are all there. Without one of them
    /// the crate errs for ever.
    pub complete: bool,
    /// It reads as [`Action::Vacate`] leaves it: to anybody's clock long expired.
    pub vacated: bool,
    /// When it was last seen to change, on our clock.
    pub changed: Duration,
}

/// What this replica knows.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub me: &'a Identity,
    /// `None`: there is no such Lease. Not for "not read yet": then there is nothing to decide.
    pub lease: Option<&'a ElectionLease>,
    /// See [`OwnWrites`](crate::domain::own_writes::OwnWrites).
    pub writes_since: Option<Duration>,
    pub leading: Option<Leading>,
    pub ttl: Duration,
    pub renew: Duration,
}

/// While this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading {
    pub claim: Claim,
    /// When the crate was last asked.
    pub asked: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    AskCrate,
    /// Empty the holder, renewTime 1970, duration 1, transitions kept, by compare-and-swap; then decide again.
    Vacate {
        resource_version: String,
    },
    /// Decide again then, or when the Lease is seen to change.
    Wait(Duration),
    /// Stop renewing, wait for writers, vacate. Never the crate's `step_down`.
    StepDown,
}

pub fn decide(seen: &Observation<'_>, now: Duration) -> Action {
    let holder = seen.lease.and_then(|lease| lease.holder.as_deref()).filter(|holder| !holder.is_empty());
    let ours = seen.me.acquired(holder);
    if let Some(leading) = seen.leading {
        if !leading.claim.valid_at(now) || (holder.is_some() && !ours) {
            return Action::StepDown;
        }
        let next = leading.asked.saturating_add(seen.renew);
        if now < next {
            return Action::Wait(next.min(leading.claim.valid_until()));
        }
    }
    let Some(lease) = seen.lease else { return Action::AskCrate };
    let vacate = || Action::Vacate { resource_version: lease.resource_version.clone() };
    match holder {
        _ if !lease.complete => vacate(),
        Some(_) if ours => Action::AskCrate,
        Some(holder) if seen.me.succeeds(holder) => vacate(),
        None if lease.vacated => Action::AskCrate,
        None => vacate(),
        Some(_) => match seen.writes_since.map(|since| since.max(lease.changed).saturating_add(seen.ttl)) {
            Some(expires) if now >= expires => vacate(),
            Some(expires) => Action::Wait(expires),
            None => Action::Wait(now.saturating_add(seen.renew)),
        },
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
