//! Detects a report that breaks links.
//!
//! A coordinator acknowledges reports in order. When a link ends, its first unacknowledged report is a suspect. If the
//! next link ends with the same report first, that report is left out until its target has a different one, so that all
//! reports after it get through.

use std::collections::{BTreeMap, VecDeque};

use super::digest::Digest;

/// Consecutive links that must end with the same report first.
const MAX_LINKS: u32 = 2;

#[derive(Debug, Default)]
pub struct Unsent {
    /// Sequence and digest of the unacknowledged reports of this link.
    in_flight: VecDeque<(u64, Digest)>,
    suspect: Option<(Digest, u32)>,
    /// The reports left out, by target.
    left_out: BTreeMap<u64, Digest>,
}

impl Unsent {
    /// Whether the report may be sent.
    pub fn may_send(&self, report: &Digest) -> bool {
        self.left_out.get(&report.target) != Some(report)
    }

    /// Records a report that is about to be sent.
    pub fn sent(&mut self, sequence: u64, report: Digest) {
        self.left_out.remove(&report.target);
        self.in_flight.push_back((sequence, report));
    }

    /// Records an acknowledgement of everything up to this number.
    pub fn acknowledged(&mut self, sequence: u64) {
        while self.in_flight.front().is_some_and(|(sent, _)| *sent <= sequence) {
            self.in_flight.pop_front();
        }
    }

    /// Records the end of the link. Returns the target whose report is left out from now on, if any.
    pub fn link_ended(&mut self) -> Option<u64> {
        let (_, first) = std::mem::take(&mut self.in_flight).pop_front()?;
        let ends = match self.suspect {
            Some((suspect, ends)) if suspect == first => ends + 1,
            _ => 1,
        };
        self.suspect = Some((first, ends));
        if ends < MAX_LINKS {
            return None;
        }
        (self.suspect, _) = (None, self.left_out.insert(first.target, first));
        Some(first.target)
    }

    /// Forgets a target that has another owner now, or is gone.
    pub fn forget(&mut self, target: u64) {
        self.left_out.remove(&target);
    }

    /// Number of reports left out.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(target: u64, meaning: u128) -> Digest {
        Digest { target, meaning }
    }

    /// Sends `reports` over one link, which ends after `acknowledged` of them are acknowledged.
    fn link(unsent: &mut Unsent, reports: &[Digest], acknowledged: u64) -> Option<u64> {
        let sendable: Vec<Digest> = reports.iter().copied().filter(|report| unsent.may_send(report)).collect();
        (1..).zip(sendable).for_each(|(sequence, report)| unsent.sent(sequence, report));
        unsent.acknowledged(acknowledged);
        unsent.link_ended()
    }

    #[test]
    fn report_that_ends_two_links_is_left_out() {
        let (mut unsent, all) = (Unsent::default(), [report(1, 1), report(2, 2), report(3, 3)]);
        assert_eq!(link(&mut unsent, &all, 1), None, "it may have been chance");
        assert_eq!(link(&mut unsent, &all[1..], 0), Some(2));
        assert_eq!(all.map(|report| unsent.may_send(&report)), [true, false, true]);
        assert_eq!(unsent.left_out(), 1);
        unsent.forget(2);
        assert!(unsent.may_send(&all[1]));
    }

    #[test]
    fn different_report_of_the_target_is_sent() {
        let mut unsent = Unsent::default();
        let ends = [0; 2].map(|_| link(&mut unsent, &[report(2, 2)], 0));
        assert_eq!(ends, [None, Some(2)]);
        assert!(!unsent.may_send(&report(2, 2)) && unsent.may_send(&report(2, 7)));
        unsent.sent(9, report(2, 7));
        assert_eq!(unsent.left_out(), 0);
    }

    #[test]
    fn links_that_end_at_different_reports_leave_nothing_out() {
        let mut unsent = Unsent::default();
        assert_eq!(link(&mut unsent, &[report(1, 1)], 0), None);
        assert_eq!(link(&mut unsent, &[report(2, 2)], 0), None, "another one was first");
        assert_eq!(link(&mut unsent, &[report(1, 1)], 0), None);
        assert_eq!(link(&mut unsent, &[report(1, 1)], 1), None, "all were acknowledged");
        assert_eq!(unsent.left_out(), 0);
    }
}
