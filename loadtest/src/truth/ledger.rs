//! The pure part of the truth checker: compares truth and status per cluster and records how long they disagree.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// Phases of a status; empty until the first status.
const RUNNING: &str = "Running";
const FAILED: &str = "Failed";

/// The longest time that a cluster's status was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Worst {
    /// Number of the cluster; `None` if no status was ever wrong.
    pub cluster: Option<u32>,
    /// Zero if no status was ever wrong.
    pub lasted: Duration,
}

impl Worst {
    fn note(&mut self, cluster: u32, lasted: Duration) {
        if lasted > self.lasted {
            *self = Self { cluster: Some(cluster), lasted };
        }
    }
}

/// Times during which statuses were wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Findings {
    /// The status had a different phase than the truth, or none.
    pub wrong: Worst,
    /// The status was Running while the cluster was broken.
    pub falsely_running: Worst,
    /// Seconds from each change of the truth until the status showed it.
    pub took: Vec<f64>,
}

impl Findings {
    /// The detection time that a fraction `share` of all detections did not exceed; 0 without detections.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut took = self.took.clone();
        took.sort_by(f64::total_cmp);
        let place = (took.len() as f64 * share).ceil() as usize;
        took.get(place.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[derive(Debug)]
struct Cluster {
    broken: bool,
    phase: String,
    /// Start of the current disagreement of truth and status.
    wrong: Option<Instant>,
    /// Start of the current time as Running although broken.
    falsely_running: Option<Instant>,
    /// Start of the latest agreement; `None` before the first one.
    right: Option<Instant>,
}

/// Truth and statuses of the checked clusters.
#[derive(Debug)]
pub(super) struct Ledger {
    clusters: BTreeMap<u32, Cluster>,
    findings: Findings,
}

impl Ledger {
    /// Starts with healthy clusters and unknown statuses.
    pub(super) fn new(clusters: impl IntoIterator<Item = u32>, now: Instant) -> Self {
        let cluster =
            || Cluster { broken: false, phase: String::new(), wrong: Some(now), falsely_running: None, right: None };
        Self {
            clusters: clusters.into_iter().map(|number| (number, cluster())).collect(),
            findings: Findings::default(),
        }
    }

    /// Records that the cluster breaks or is repaired.
    pub(super) fn set(&mut self, number: u32, broken: bool, now: Instant) {
        self.update(number, now, |cluster| cluster.broken = broken);
    }

    /// Records the phase on the hub.
    pub(super) fn observe(&mut self, number: u32, phase: &str, now: Instant) {
        self.update(number, now, |cluster| phase.clone_into(&mut cluster.phase));
    }

    fn update(&mut self, number: u32, now: Instant, change: impl FnOnce(&mut Cluster)) {
        let Some(cluster) = self.clusters.get_mut(&number) else { return };
        change(cluster);
        let is_wrong = cluster.phase != if cluster.broken { FAILED } else { RUNNING };
        match (is_wrong, cluster.wrong) {
            (true, None) => cluster.wrong = Some(now),
            (false, Some(since)) => {
                (cluster.wrong, cluster.right) = (None, Some(now));
                self.findings.took.push((now - since).as_secs_f64());
                self.findings.wrong.note(number, now - since);
            }
            _ => {}
        }
        let is_false = cluster.broken && cluster.phase == RUNNING;
        match (is_false, cluster.falsely_running) {
            (true, None) => cluster.falsely_running = Some(now),
            (false, Some(since)) => {
                cluster.falsely_running = None;
                self.findings.falsely_running.note(number, now - since);
            }
            _ => {}
        }
    }

    pub(super) fn is_broken(&self, number: u32) -> bool {
        self.clusters.get(&number).is_some_and(|cluster| cluster.broken)
    }

    /// Clusters whose status has been right for at least `time`.
    pub(super) fn right_for(&self, time: Duration, now: Instant) -> Vec<u32> {
        let is_right =
            |cluster: &Cluster| cluster.wrong.is_none() && cluster.right.is_some_and(|since| now - since >= time);
        self.clusters.iter().filter(|(_, cluster)| is_right(cluster)).map(|(number, _)| *number).collect()
    }

    /// Clusters whose status has been wrong for at least `time` or was never right, with its phase.
    pub(super) fn wrong_for(&self, time: Duration, now: Instant) -> Vec<(u32, String)> {
        let is_wrong =
            |cluster: &Cluster| cluster.wrong.is_some_and(|since| now - since >= time || cluster.right.is_none());
        let wrong = self.clusters.iter().filter(|(_, cluster)| is_wrong(cluster));
        wrong.map(|(number, cluster)| (*number, cluster.phase.clone())).collect()
    }

    /// The findings up to now, including statuses that are still wrong.
    pub(super) fn findings(&self, now: Instant) -> Findings {
        let mut findings = self.findings.clone();
        for (number, cluster) in &self.clusters {
            cluster.wrong.into_iter().for_each(|since| findings.wrong.note(*number, now - since));
            cluster.falsely_running.into_iter().for_each(|since| findings.falsely_running.note(*number, now - since));
        }
        findings
    }

    /// Clears the findings; statuses that are wrong now count from now on.
    pub(super) fn reset(&mut self, now: Instant) {
        self.findings = Findings::default();
        for cluster in self.clusters.values_mut() {
            cluster.wrong = cluster.wrong.map(|_| now);
            cluster.falsely_running = cluster.falsely_running.map(|_| now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn wrong_time_runs_from_break_until_status_shows_it() {
        let start = Instant::now();
        let mut ledger = Ledger::new([1, 2], start);
        [1, 2].into_iter().for_each(|number| ledger.observe(number, RUNNING, start));
        ledger.set(1, true, at(start, 10));
        ledger.observe(1, "Unknown", at(start, 13));
        ledger.observe(1, FAILED, at(start, 17));
        let findings = ledger.findings(at(start, 60));
        assert_eq!(findings.wrong, Worst { cluster: Some(1), lasted: Duration::from_secs(7) });
        assert_eq!(findings.falsely_running, Worst { cluster: Some(1), lasted: Duration::from_secs(3) });
        assert_eq!(findings.quantile(1.0), 7.0);
    }

    #[test]
    fn undetected_break_counts_up_to_now() {
        let start = Instant::now();
        let mut ledger = Ledger::new([1], start);
        ledger.observe(1, RUNNING, start);
        ledger.set(1, true, at(start, 5));
        let findings = ledger.findings(at(start, 65));
        assert_eq!(findings.falsely_running, Worst { cluster: Some(1), lasted: Duration::from_secs(60) });
        assert_eq!(ledger.wrong_for(Duration::from_secs(60), at(start, 65)), [(1, RUNNING.to_owned())]);
        assert!(ledger.wrong_for(Duration::from_secs(61), at(start, 65)).is_empty());
        assert!(ledger.right_for(Duration::ZERO, at(start, 65)).is_empty());
    }

    #[test]
    fn healthy_cluster_shown_as_failed_or_unknown_is_wrong() {
        let start = Instant::now();
        for phase in ["", FAILED, "Unknown"] {
            let mut ledger = Ledger::new([1], start);
            ledger.observe(1, RUNNING, start);
            ledger.observe(1, phase, at(start, 1));
            ledger.observe(1, RUNNING, at(start, 9));
            let findings = ledger.findings(at(start, 9));
            assert_eq!(findings.wrong, Worst { cluster: Some(1), lasted: Duration::from_secs(8) }, "{phase}");
            assert_eq!(findings.falsely_running, Worst::default(), "{phase}");
        }
    }

    #[test]
    fn cluster_is_wrong_until_first_right_status() {
        let start = Instant::now();
        let mut ledger = Ledger::new([1], start);
        assert_eq!(ledger.wrong_for(Duration::from_secs(9), start), [(1, String::new())]);
        ledger.observe(1, RUNNING, start);
        assert!(ledger.wrong_for(Duration::ZERO, start).is_empty());
    }

    #[test]
    fn reset_clears_findings() {
        let start = Instant::now();
        let mut ledger = Ledger::new([1], start);
        ledger.observe(1, RUNNING, at(start, 20));
        ledger.reset(at(start, 20));
        assert_eq!(ledger.findings(at(start, 30)), Findings::default());
        ledger.set(1, true, at(start, 30));
        ledger.reset(at(start, 40));
        assert_eq!(ledger.findings(at(start, 41)).wrong.lasted, Duration::from_secs(1));
    }
}
