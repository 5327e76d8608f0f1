//! Detects a report that breaks links.
//!
//! A coordinator acknowledges reports in order. When a link ends, its first unacknowledged report is a suspect. If the
//! next link ends with the same report first, that report is left out, so that all reports after it get through. It may
//! have been chance, so it is tried again later, after longer and longer pauses.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::backoff::Backoff;
use super::digest::Digest;

/// Consecutive links that must end with the same report first.
const MAX_LINKS: u32 = 2;

/// Pauses before a report that is left out is tried again.
const BACKOFF: Backoff = Backoff { first: Duration::from_secs(30), longest: Duration::from_secs(3_600), spread: 0.0 };

#[derive(Debug, Default)]
pub struct Unsent {
    /// Sequence and digest of the unacknowledged reports of this link.
    in_flight: VecDeque<(u64, Digest)>,
    suspect: Option<(Digest, u32)>,
    /// The reports left out, by target.
    left_out: BTreeMap<u64, LeftOut>,
}

#[derive(Debug)]
struct LeftOut {
    report: Digest,
    /// Tries since it is left out.
    tries: u32,
    retry_at: Duration,
}

impl Unsent {
    /// Whether the report may be sent.
    pub fn may_send(&self, report: &Digest, now: Duration) -> bool {
        self.left_out.get(&report.target).is_none_or(|left_out| left_out.report != *report || left_out.retry_at <= now)
    }

    /// Records a report that is about to be sent.
    pub fn sent(&mut self, sequence: u64, report: Digest) {
        self.left_out.retain(|target, left_out| *target != report.target || left_out.report == report);
        self.in_flight.push_back((sequence, report));
    }

    /// Records an acknowledgement of everything up to this number.
    pub fn acknowledged(&mut self, sequence: u64) {
        while let Some((_, report)) = self.in_flight.pop_front_if(|(sent, _)| *sent <= sequence) {
            self.left_out.retain(|_, left_out| left_out.report != report);
        }
    }

    /// Records the end of the link. Returns the target whose report is left out from now on, if any.
    pub fn link_ended(&mut self, now: Duration) -> Option<u64> {
        let (_, first) = std::mem::take(&mut self.in_flight).pop_front()?;
        if let Some(left_out) = self.left_out.get_mut(&first.target) {
            left_out.tries = left_out.tries.saturating_add(1);
            left_out.retry_at = now + BACKOFF.delay(left_out.tries, 0.0);
            return None;
        }
        let ends = match self.suspect {
            Some((suspect, ends)) if suspect == first => ends + 1,
            _ => 1,
        };
        self.suspect = Some((first, ends));
        if ends < MAX_LINKS {
            return None;
        }
        self.suspect = None;
        let left_out = LeftOut { report: first, tries: 0, retry_at: now + BACKOFF.delay(0, 0.0) };
        self.left_out.insert(first.target, left_out);
        Some(first.target)
    }

    /// Forgets a target that has another owner now, or is gone.
    pub fn forget(&mut self, target: u64) {
        self.left_out.remove(&target);
    }

    /// Targets whose reports were left out and are to be tried again.
    pub fn to_retry(&self, now: Duration) -> impl Iterator<Item = u64> {
        self.left_out.iter().filter(move |(_, left_out)| left_out.retry_at <= now).map(|(target, _)| *target)
    }

    /// Number of reports left out.
    pub fn left_out(&self) -> usize {
        self.left_out.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(100);

    fn report(target: u64, meaning: u128) -> Digest {
        Digest { target, meaning }
    }

    /// Sends `reports` over one link, which ends after `acknowledged` of them are acknowledged.
    fn link(unsent: &mut Unsent, reports: &[Digest], acknowledged: u64) -> Option<u64> {
        let sendable: Vec<Digest> = reports.iter().copied().filter(|report| unsent.may_send(report, START)).collect();
        (1..).zip(sendable).for_each(|(sequence, report)| unsent.sent(sequence, report));
        unsent.acknowledged(acknowledged);
        unsent.link_ended(START)
    }

    #[test]
    fn report_that_ends_two_links_is_left_out() {
        let (mut unsent, all) = (Unsent::default(), [report(1, 1), report(2, 2), report(3, 3)]);
        assert_eq!(link(&mut unsent, &all, 1), None, "it may have been chance");
        assert_eq!(link(&mut unsent, &all[1..], 0), Some(2));
        assert_eq!(all.map(|report| unsent.may_send(&report, START)), [true, false, true]);
        assert_eq!(unsent.left_out(), 1);
        unsent.forget(2);
        assert!(unsent.may_send(&all[1], START));
    }

    #[test]
    fn different_report_of_the_target_is_sent() {
        let mut unsent = Unsent::default();
        let ends = [0; 2].map(|_| link(&mut unsent, &[report(2, 2)], 0));
        assert_eq!(ends, [None, Some(2)]);
        assert!(!unsent.may_send(&report(2, 2), START) && unsent.may_send(&report(2, 7), START));
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

    #[test]
    fn report_left_out_is_retried_after_longer_and_longer_pauses() {
        let (mut unsent, suspect) = (Unsent::default(), report(2, 2));
        assert_eq!([0; 2].map(|_| link(&mut unsent, &[suspect], 0)), [None, Some(2)]);
        let mut now = START;
        for pause in [BACKOFF.first, BACKOFF.first * 2, BACKOFF.first * 4] {
            assert_eq!(unsent.to_retry(now + pause - Duration::from_millis(1)).count(), 0);
            now += pause;
            assert_eq!(unsent.to_retry(now).collect::<Vec<_>>(), [2]);
            unsent.sent(1, suspect);
            assert_eq!(unsent.link_ended(now), None);
        }
        unsent.sent(1, suspect);
        unsent.acknowledged(1);
        assert_eq!(unsent.left_out(), 0, "it had been chance");
    }
}
