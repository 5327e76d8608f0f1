//! Guards the election crate: decides when it may be called.
//!
//! The crate judges by the wall clock and writes without a resourceVersion, so two replicas can both believe that they
//! lead. This module decides from this replica's own observations, on its own clock:
//!
//! ```text
//!                  ┌─ ours, or no Lease ──────────────> call the crate
//! Lease observed ──┤─ free, expired, or incomplete ───> vacate by compare-and-swap, then call
//!                  ├─ another holder, alive ──────────> wait
//!                  └─ lost, or too late while leading > step down
//! ```

use std::time::Duration;

use thiserror::Error;

use crate::domain::claim::Claim;

/// The identity of a candidate: `podName_podUID_random`. Never empty: the crate treats an empty holder as a free Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(String);

/// A part of the identity is empty or blank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the identity for the election needs the Pod's name, the Pod's UID and a random part: one of them is empty")]
pub struct EmptyIdentity;

impl Identity {
    /// `random` is 128 bits as text, generated once per process.
    ///
    /// # Errors
    /// Fails if a part is empty or blank.
    pub fn new(pod_name: &str, pod_uid: &str, random: &str) -> Result<Self, EmptyIdentity> {
        let parts = [pod_name, pod_uid, random];
        if parts.iter().any(|part| part.trim().is_empty()) { Err(EmptyIdentity) } else { Ok(Self(parts.join("_"))) }
    }

    /// The `holderIdentity` of a held Lease.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the holder in the crate's result means that the Lease is ours. Nothing but our own identity does.
    pub fn acquired(&self, holder: Option<&str>) -> bool {
        holder == Some(self.as_str())
    }

    /// Whether `holder` is an earlier process of this replica. Only one Pod of a name exists at a time, and the term
    /// fences off the old process if it is still alive: no need to wait for its Lease to expire.
    fn succeeds(&self, holder: &str) -> bool {
        let name = |identity: &str| identity.split_once('_').map(|(name, _)| name.to_owned());
        name(holder).is_some() && name(holder) == name(&self.0)
    }
}

/// The coordinator's Lease, as a watch or a response last showed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionLease {
    /// For compare-and-swap.
    pub resource_version: String,
    /// Empty and absent mean the same.
    pub holder: Option<String>,
    /// `renewTime`, `leaseDurationSeconds`, `acquireTime` and `leaseTransitions` are all set. Without one of them the
    /// crate fails forever.
    pub complete: bool,
    /// It is as [`Action::Vacate`] leaves it: long expired on every clock.
    pub vacated: bool,
    /// When a change was last observed, on our clock.
    pub changed: Duration,
}

/// The observations of this replica.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// This process.
    pub me: &'a Identity,
    /// `None`: the Lease does not exist. Don't decide before it was read.
    pub lease: Option<&'a ElectionLease>,
    /// See [`OwnWrites`](crate::domain::own_writes::OwnWrites).
    pub writes_since: Option<Duration>,
    /// `None` for a follower.
    pub leading: Option<Leading>,
    /// Silence of another holder after which its Lease is free.
    pub ttl: Duration,
    /// Interval between two renewals.
    pub renew: Duration,
}

/// While this replica leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leading {
    /// Ends with the last successful renewal's Lease, minus a margin.
    pub claim: Claim,
    /// When the crate was last called.
    pub asked: Duration,
}

/// The next step of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Call the crate, which acquires or renews the Lease.
    AskCrate,
    /// Empty the holder, renewTime 1970, duration 1, transitions kept, by compare-and-swap; then decide again.
    Vacate {
        /// Version of the Lease that was judged.
        resource_version: String,
    },
    /// Decide again then, or when the Lease changes.
    Wait(Duration),
    /// Stop renewing, wait for writers, vacate. Never use the crate's `step_down`.
    StepDown,
}

/// Decides the next step at `now`, on the clock of the observations. Has no state of its own.
pub fn decide(observed: &Observation<'_>, now: Duration) -> Action {
    let holder = observed.lease.and_then(|lease| lease.holder.as_deref()).filter(|holder| !holder.is_empty());
    let ours = observed.me.acquired(holder);
    if let Some(leading) = observed.leading {
        if !leading.claim.valid_at(now) || (holder.is_some() && !ours) {
            return Action::StepDown;
        }
        let next = leading.asked.saturating_add(observed.renew);
        if now < next {
            return Action::Wait(next.min(leading.claim.valid_until()));
        }
    }
    let Some(lease) = observed.lease else { return Action::AskCrate };
    let vacate = || Action::Vacate { resource_version: lease.resource_version.clone() };
    match holder {
        _ if !lease.complete => vacate(),
        Some(_) if ours => Action::AskCrate,
        Some(holder) if observed.me.succeeds(holder) => vacate(),
        None if lease.vacated => Action::AskCrate,
        None => vacate(),
        Some(_) => match observed.writes_since.map(|since| since.max(lease.changed).saturating_add(observed.ttl)) {
            Some(expires) if now >= expires => vacate(),
            Some(expires) => Action::Wait(expires),
            None => Action::Wait(now.saturating_add(observed.renew)),
        },
    }
}

#[cfg(test)]
#[path = "election_tests.rs"]
mod tests;
