//! Derives the state of one member from its Lease and heartbeats.

use std::time::Duration;

use crate::domain::replica::Incarnation;

/// Rounds without a heartbeat after which a member loses its slots despite a live Lease.
pub(crate) const DEAF_AFTER_ROUNDS: u32 = 3;

/// The state of a member, from certainly present to certainly gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum MemberState {
    Live,
    /// Late with its renewal. No consequences yet.
    Silent,
    /// Renews its Lease but sends no heartbeat: it may be cut off from the coordinator, or its rounds may hang.
    Deaf,
    /// Released its Lease.
    Left,
    /// Silent for a full Lease duration, or already declared dead.
    Expired,
}

/// The holder of a Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A running process, at least as of its last renewal.
    Process(Incarnation),
    /// Empty: released on shutdown. Also stands for a deleted Lease.
    Nobody,
    /// A coordinator took it from a dead member.
    Taken,
}

/// The Lease of one replica as last observed. Times are on the observer's clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberLease {
    /// The holder as of the last change.
    pub holder: Holder,
    /// For taking the Lease by compare-and-swap.
    pub resource_version: String,
    /// When a change was last observed. The times in the Lease itself are ignored, as clocks differ.
    pub changed: Duration,
    /// When this holder was first observed.
    pub held_since: Duration,
    /// When its last heartbeat arrived.
    pub heard: Option<Duration>,
}

/// The time limits for members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Lease duration: silence of this length ends a membership.
    pub lease: Duration,
    /// Interval between renewals of a Lease.
    pub renew: Duration,
    /// Length of a round, which is the interval between heartbeats.
    pub round: Duration,
    /// How long a member that left and is expected back keeps its slots.
    pub rejoin_grace: Duration,
    /// Minimum interval between changes of the members.
    pub damping: Duration,
}

/// Time by which a claim ends before its Lease, for clocks that run at different speeds and for the latency of
/// responses.
pub(crate) const SAFETY_MARGIN: Duration = Duration::from_secs(1);

/// Upper bound of a renewal: a slower hub is unusable.
const MAX_RENEWAL: Duration = Duration::from_secs(4);

impl Timing {
    /// Time-out of one Lease request: two thirds of the claim's remaining time when its renewal begins, so that another
    /// attempt fits after one that hangs.
    pub fn renewal_deadline(&self) -> Duration {
        (self.lease.saturating_sub(SAFETY_MARGIN + self.renew) * 2 / 3).min(MAX_RENEWAL)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lease: Duration::from_secs(10),
            renew: Duration::from_secs(3),
            round: Duration::from_secs(30),
            rejoin_grace: Duration::from_secs(10),
            damping: Duration::from_secs(1),
        }
    }
}

/// The inputs by which one observer judges all members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Observer {
    pub timing: Timing,
    /// See [`OwnWrites`](crate::domain::own_writes::OwnWrites).
    pub writes_since: Option<Duration>,
    /// Heartbeats go to a coordinator, so no member was deaf before the term began.
    pub term_since: Duration,
}

impl Observer {
    pub(crate) fn state(&self, lease: &MemberLease, now: Duration) -> MemberState {
        if lease.holder == Holder::Taken {
            return MemberState::Expired;
        }
        if lease.holder == Holder::Nobody {
            return MemberState::Left;
        }
        match self.silence_since(lease).map_or(Duration::ZERO, |since| now.saturating_sub(since)) {
            silence if silence >= self.timing.lease => MemberState::Expired,
            _ if now >= self.deaf_at(lease) => MemberState::Deaf,
            silence if silence >= self.timing.renew * 2 => MemberState::Silent,
            _ => MemberState::Live,
        }
    }

    /// Whether a member that left may still return to its slots.
    pub fn is_in_grace(&self, lease: &MemberLease, now: Duration) -> bool {
        // No member can return while the hub is unavailable, so that time doesn't count.
        self.silence_since(lease).is_none_or(|since| now < since.saturating_add(self.timing.rejoin_grace))
    }

    /// When the state may next change without a new observation.
    pub fn next_change(&self, lease: &MemberLease, now: Duration) -> Option<Duration> {
        let silence = self.silence_since(lease);
        let after = |time: Duration| silence.map(|since| since.saturating_add(time));
        let times = match lease.holder {
            Holder::Taken => [None; 3],
            Holder::Nobody => [after(self.timing.rejoin_grace), None, None],
            Holder::Process(_) => [after(self.timing.renew * 2), after(self.timing.lease), Some(self.deaf_at(lease))],
        };
        times.into_iter().flatten().filter(|time| *time > now).min()
    }

    fn silence_since(&self, lease: &MemberLease) -> Option<Duration> {
        self.writes_since.map(|since| since.max(lease.changed))
    }

    fn deaf_at(&self, lease: &MemberLease) -> Duration {
        let heard = lease.heard.unwrap_or_default().max(lease.held_since).max(self.term_since);
        heard.saturating_add(self.timing.round * DEAF_AFTER_ROUNDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_deadline_leaves_time_for_a_retry() {
        assert_eq!(Timing::default().renewal_deadline(), Duration::from_secs(4));
        let short = Timing { lease: Duration::from_secs(5), renew: Duration::from_secs(1), ..Timing::default() };
        assert_eq!(short.renewal_deadline(), Duration::from_secs(2));
        let long = Timing { lease: Duration::from_secs(60), renew: Duration::from_secs(20), ..Timing::default() };
        assert_eq!(long.renewal_deadline(), MAX_RENEWAL);
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn lease(changed: u64, heard: Option<u64>) -> MemberLease {
        MemberLease {
            holder: Holder::Process(Incarnation::new("ksit-1", "uid", "nonce")),
            resource_version: "7".to_owned(),
            changed: at(changed),
            held_since: at(0),
            heard: heard.map(at),
        }
    }

    fn observer(writes_since: Option<u64>) -> Observer {
        Observer { timing: Timing::default(), writes_since: writes_since.map(at), term_since: at(0) }
    }

    #[test]
    fn silence_ends_in_expiry() {
        let (observer, lease) = (observer(Some(0)), lease(100, Some(100)));
        let state = |now| observer.state(&lease, at(now));
        assert_eq!([100, 105, 106, 109].map(state), {
            use MemberState::{Live, Silent};
            [Live, Live, Silent, Silent]
        });
        assert_eq!(state(110), MemberState::Expired);
        assert_eq!(observer.next_change(&lease, at(100)), Some(at(106)));
        assert_eq!(observer.next_change(&lease, at(106)), Some(at(110)));
    }

    #[test]
    fn silence_counts_only_while_the_observers_writes_succeed() {
        let lease = lease(100, Some(150));
        assert_eq!(observer(None).state(&lease, at(170)), MemberState::Live);
        assert_eq!(observer(Some(165)).state(&lease, at(170)), MemberState::Live, "a full duration again");
        assert_eq!(observer(Some(165)).state(&lease, at(175)), MemberState::Expired);
    }

    #[test]
    fn member_without_heartbeats_is_deaf_after_three_rounds() {
        let renewed = lease(189, Some(100));
        assert_eq!(observer(Some(0)).state(&renewed, at(189)), MemberState::Live);
        assert_eq!(observer(Some(0)).state(&renewed, at(190)), MemberState::Deaf);
        let new_term = Observer { term_since: at(150), ..observer(Some(0)) };
        assert_eq!(new_term.state(&renewed, at(190)), MemberState::Live);
    }

    #[test]
    fn grace_is_suspended_while_the_hub_is_unavailable() {
        let left = MemberLease { holder: Holder::Nobody, ..lease(100, None) };
        assert!(observer(Some(0)).is_in_grace(&left, at(109)));
        assert!(!observer(Some(0)).is_in_grace(&left, at(110)));
        assert!(observer(None).is_in_grace(&left, at(500)));
    }
}
