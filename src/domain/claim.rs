//! A coordinator's claim to lead, as a function of time.
//!
//! Never kept as a bool: a process that stood still would go on believing it. It is asked at every write.

use std::time::Duration;

use crate::domain::replica::{Epoch, Term};

/// One reign. Times are on the claimant's own monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub term: Term,
    valid_until: Duration,
}

impl Claim {
    /// `requested` is the time **before** the request for the Lease was sent: the server may have stamped it at any
    /// moment after that. `margin` is for clocks that run at different speeds.
    pub fn new(term: Term, requested: Duration, ttl: Duration, margin: Duration) -> Self {
        Self { term, valid_until: valid_until(requested, ttl, margin) }
    }

    /// After a renewal that was acquired. An error or a time-out extends nothing, and no answer shortens.
    pub fn renewed(self, requested: Duration, ttl: Duration, margin: Duration) -> Self {
        Self { valid_until: self.valid_until.max(valid_until(requested, ttl, margin)), ..self }
    }

    pub fn valid_until(self) -> Duration {
        self.valid_until
    }

    pub fn valid_at(self, now: Duration) -> bool {
        now < self.valid_until
    }

    /// Whether a write may be sent: its time-out must end within the claim.
    pub fn covers(self, now: Duration, request_timeout: Duration) -> bool {
        self.valid_at(now.saturating_add(request_timeout))
    }
}

fn valid_until(requested: Duration, ttl: Duration, margin: Duration) -> Duration {
    requested.saturating_add(ttl.saturating_sub(margin))
}

/// A status may be so far ahead of the map: a former coordinator never is, and what is further ahead was edited. The
/// CRDs take a term that is lower by more.
pub const MOST_AHEAD: i64 = 1_000;

/// Without a map, a term or an epoch of a status above this was edited: at one a second it takes 30,000 years.
const MOST_PLAUSIBLE: i64 = 1 << 40;

/// The term to claim: above that of the map, and of every status, since the map may have been deleted. A status that
/// somebody edited has no say.
pub fn next_term(map: Option<Term>, statuses: impl IntoIterator<Item = Term>) -> Term {
    let most = map.map_or(MOST_PLAUSIBLE, |map| map.0.saturating_add(MOST_AHEAD));
    statuses.into_iter().filter(|term| term.0 <= most).chain(map).max().unwrap_or_default().next()
}

/// The epoch of a map where there was none: above every report that is known.
pub fn first_epoch(reports: impl IntoIterator<Item = Epoch>) -> Epoch {
    reports.into_iter().filter(|epoch| epoch.0 <= MOST_PLAUSIBLE).max().unwrap_or_default().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_claim_ends_before_the_lease_does() {
        let claim = Claim::new(Term(3), at(100), at(10), at(2));
        assert!(claim.valid_at(Duration::from_millis(107_999)));
        assert!(!claim.valid_at(at(108)));
        assert!(claim.covers(at(104), at(3)));
        assert!(!claim.covers(at(105), at(3)));
    }

    #[test]
    fn a_renewal_counts_from_its_request_and_never_shortens() {
        let claim = Claim::new(Term(3), at(100), at(10), at(2)).renewed(at(103), at(10), at(2));
        assert_eq!(claim.valid_until(), at(111));
        assert_eq!(claim.renewed(at(101), at(10), at(2)), claim);
    }

    #[test]
    fn a_margin_beyond_the_ttl_leaves_no_time() {
        assert!(!Claim::new(Term(1), at(5), at(1), at(2)).valid_at(at(5)));
    }

    #[test]
    fn the_next_term_is_above_all_that_were_seen() {
        assert_eq!(next_term(None, []), Term(1));
        assert_eq!(next_term(Some(Term(4)), [Term(2), Term(3)]), Term(5));
        assert_eq!(next_term(None, [Term(7), Term(0)]), Term(8));
        assert_eq!(next_term(Some(Term(4)), [Term(4 + MOST_AHEAD)]), Term(5 + MOST_AHEAD));
    }

    #[test]
    fn edited_statuses_have_no_say() {
        let edited = [5_000_000, i64::MAX, (1 << 53) - 1].map(Term);
        assert_eq!(next_term(Some(Term(4)), edited), Term(5));
        assert_eq!(next_term(None, [Term(i64::MAX), Term(7)]), Term(8));
        assert_eq!(first_epoch([Epoch(i64::MAX), Epoch(7), Epoch(i64::MIN)]), Epoch(8));
        assert_eq!(first_epoch([]), Epoch(1));
    }
}
