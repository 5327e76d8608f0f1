//! Finds the report that ends links.
//!
//! A coordinator acknowledges reports in the order in which they came. A link that ends leaves the first one that was
//! not acknowledged under suspicion; if the next link ends with the same report first, it is left out until the target
//! has something else to report. Everything behind it gets through.

use std::collections::{BTreeMap, VecDeque};

use super::digest::Digest;

/// Links in a row that have to end with the same report first.
const ENDS: u32 = 2;

#[derive(Debug, Default)]
pub struct Unsent {
    /// Sequence and digest of what this link carries and the coordinator has not acknowledged.
    in_flight: VecDeque<(u64, Digest)>,
    suspect: Option<(Digest, u32)>,
    /// By target.
    left_out: BTreeMap<u64, Digest>,
}

impl Unsent {
    /// Whether the report may be sent.
    pub fn may_send(&self, report: &Digest) -> bool {
        self.left_out.get(&report.target) != Some(report)
    }

    /// The report is about to be sent.
    pub fn sent(&mut self, sequence: u64, report: Digest) {
        self.left_out.remove(&report.target);
        self.in_flight.push_back((sequence, report));
    }

    /// Everything up to this number was taken.
    pub fn acknowledged(&mut self, sequence: u64) {
        while self.in_flight.front().is_some_and(|(sent, _)| *sent <= sequence) {
            self.in_flight.pop_front();
        }
    }

    /// The link ended. Some: the report of this target is left out from now on.
    pub fn link_ended(&mut self) -> Option<u64> {
        let (_, first) = std::mem::take(&mut self.in_flight).pop_front()?;
        let ends = match self.suspect {
            Some((suspect, ends)) if suspect == first => ends + 1,
            _ => 1,
        };
        self.suspect = Some((first, ends));
        if ends < ENDS {
            return None;
        }
        (self.suspect, _) = (None, self.left_out.insert(first.target, first));
        Some(first.target)
    }

    /// The target is somebody else's, or gone.
    pub fn forget(&mut self, target: u64) {
        self.left_out.remove(&target);
    }

    /// Reports that are left out now.
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

    /// Sends these over one link, of which so many are acknowledged before it ends.
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
    fn another_report_of_the_target_is_sent_again() {
        let mut unsent = Unsent::default();
        let ends = [0; 2].map(|_| link(&mut unsent, &[report(2, 2)], 0));
        assert_eq!(ends, [None, Some(2)]);
        assert!(!unsent.may_send(&report(2, 2)) && unsent.may_send(&report(2, 7)));
        unsent.sent(9, report(2, 7));
        assert_eq!(unsent.left_out(), 0);
    }

    #[test]
    fn links_that_end_for_other_causes_leave_nothing_out() {
        let mut unsent = Unsent::default();
        assert_eq!(link(&mut unsent, &[report(1, 1)], 0), None);
        assert_eq!(link(&mut unsent, &[report(2, 2)], 0), None, "another one was first");
        assert_eq!(link(&mut unsent, &[report(1, 1)], 0), None);
        assert_eq!(link(&mut unsent, &[report(1, 1)], 1), None, "all were acknowledged");
        assert_eq!(unsent.left_out(), 0);
    }
}
