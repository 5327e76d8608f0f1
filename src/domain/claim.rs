//! A coordinator's claim to leadership, as a function of time.
//!
//! Never cached as a bool, which would stay true while a process is suspended. It is checked at every write.

use std::time::Duration;

use crate::domain::replica::{Epoch, Term};

/// The claim of one term. Times are on the claimant's own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claimed term, which the ShardMap shows.
    pub term: Term,
    valid_until: Duration,
}

impl Claim {
    /// `requested` is the time **before** the Lease request was sent, as the server may have stamped it at any moment
    /// after that. `margin` allows for clocks that run at different speeds.
    pub fn new(term: Term, requested: Duration, ttl: Duration, margin: Duration) -> Self {
        Self { term, valid_until: valid_until(requested, ttl, margin) }
    }

    /// The claim after a successful renewal. Errors and time-outs don't extend it, and no response shortens it.
    pub fn renewed(self, requested: Duration, ttl: Duration, margin: Duration) -> Self {
        Self { valid_until: self.valid_until.max(valid_until(requested, ttl, margin)), ..self }
    }

    /// The first moment at which the claim is void, unless it is renewed before.
    pub fn valid_until(self) -> Duration {
        self.valid_until
    }

    /// Whether the claim is not void yet.
    pub fn valid_at(self, now: Duration) -> bool {
        now < self.valid_until
    }

    /// Whether a write may be sent: its time-out must end before the claim does.
    pub fn covers(self, now: Duration, request_timeout: Duration) -> bool {
        self.valid_at(now.saturating_add(request_timeout))
    }
}

fn valid_until(requested: Duration, ttl: Duration, margin: Duration) -> Duration {
    requested.saturating_add(ttl.saturating_sub(margin))
}

/// A status with a term further ahead of the map than this was edited by hand: no former coordinator gets that far. The
/// CRDs accept a term that is lower by more than this.
pub(crate) const MAX_AHEAD: i64 = 1_000;

/// Without a map, a status with a higher term or epoch was edited by hand: at one per second it takes 30,000 years.
const MAX_PLAUSIBLE: i64 = 1 << 40;

/// The term to claim: above the map's and every status's, as the map may have been deleted. Statuses edited by hand are
/// ignored.
pub fn next_term(map: Option<Term>, statuses: impl IntoIterator<Item = Term>) -> Term {
    let most = map.map_or(MAX_PLAUSIBLE, |map| map.0.saturating_add(MAX_AHEAD));
    statuses.into_iter().filter(|term| term.0 <= most).chain(map).max().unwrap_or_default().next()
}

/// The epoch of the first map: above every known report.
pub(crate) fn first_epoch(reports: impl IntoIterator<Item = Epoch>) -> Epoch {
    reports.into_iter().filter(|epoch| epoch.0 <= MAX_PLAUSIBLE).max().unwrap_or_default().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn claim_ends_before_the_lease() {
        let claim = Claim::new(Term(3), at(100), at(10), at(2));
        assert!(claim.valid_at(Duration::from_millis(107_999)));
        assert!(!claim.valid_at(at(108)));
        assert!(claim.covers(at(104), at(3)));
        assert!(!claim.covers(at(105), at(3)));
    }

    #[test]
    fn renewal_counts_from_its_request_and_never_shortens() {
        let claim = Claim::new(Term(3), at(100), at(10), at(2)).renewed(at(103), at(10), at(2));
        assert_eq!(claim.valid_until(), at(111));
        assert_eq!(claim.renewed(at(101), at(10), at(2)), claim);
    }

    #[test]
    fn margin_beyond_the_ttl_leaves_no_time() {
        assert!(!Claim::new(Term(1), at(5), at(1), at(2)).valid_at(at(5)));
    }

    #[test]
    fn next_term_is_above_map_and_statuses() {
        assert_eq!(next_term(None, []), Term(1));
        assert_eq!(next_term(Some(Term(4)), [Term(2), Term(3)]), Term(5));
        assert_eq!(next_term(None, [Term(7), Term(0)]), Term(8));
        assert_eq!(next_term(Some(Term(4)), [Term(4 + MAX_AHEAD)]), Term(5 + MAX_AHEAD));
    }

    #[test]
    fn edited_statuses_are_ignored() {
        let edited = [5_000_000, i64::MAX, (1 << 53) - 1].map(Term);
        assert_eq!(next_term(Some(Term(4)), edited), Term(5));
        assert_eq!(next_term(None, [Term(i64::MAX), Term(7)]), Term(8));
        assert_eq!(first_epoch([Epoch(i64::MAX), Epoch(7), Epoch(i64::MIN)]), Epoch(8));
        assert_eq!(first_epoch([]), Epoch(1));
    }
}
