//! The history against an independent account of the same changes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::observation::{Change, Seen};
use super::*;
use crate::domain::availability::Standing;
use crate::domain::keys::ObjectKey;

const LIMITS: Limits = Limits { retention: Duration::from_secs(3_600 * 24 * 365), bytes: 1 << 30 };

/// One tool of one cluster as it really is.
struct Truth {
    /// All changes.
    changes: Vec<Change>,
}

impl Truth {
    fn change(&mut self, at: i64, to: &str) {
        let from = self.changes.last().map(|last| last.to.clone());
        if from.as_deref() != Some(to) {
            self.changes.push(Change { stamp: at, from, to: to.to_owned(), reason: "R".to_owned() });
        }
    }

    /// The status, with the last 20 changes.
    fn observation(&self, cluster: usize) -> Observation {
        let shown = self.changes[1..].len().min(20);
        let changes = self.changes[self.changes.len() - shown..].to_vec();
        let now = self.changes.last().unwrap().clone();
        Observation {
            namespace: "fleet".to_owned(),
            cluster: format!("c{cluster}"),
            is_full: shown == 20,
            series: vec![Seen {
                integration: "gitops".to_owned(),
                type_: "argocd".to_owned(),
                now,
                changes,
                maintenance: None,
            }],
        }
    }

    /// Milliseconds up and down from 0 to `end`.
    fn account(&self, end: i64) -> (i64, i64) {
        let mut sums = (0, 0);
        for (place, change) in self.changes.iter().enumerate() {
            let until = self.changes.get(place + 1).map_or(end, |next| next.stamp);
            match Standing::of(&change.to) {
                Standing::Up => sums.0 += until - change.stamp,
                Standing::Down => sums.1 += until - change.stamp,
                _ => {}
            }
        }
        sums
    }
}

fn keys(count: usize) -> std::collections::BTreeSet<ObjectKey> {
    (0..count).map(|cluster| ObjectKey::new("fleet", format!("c{cluster}"))).collect()
}

/// Changes at random, and a recorder that is stopped and started at random: what happens meanwhile is in the statuses.
#[tokio::test(flavor = "multi_thread")]
async fn availability_is_that_of_an_independent_account() {
    let (dir, mut random) = (tempfile::tempdir().unwrap(), StdRng::seed_from_u64(7));
    let (path, end) = (dir.path().join("history.db"), 600_000);
    let mut truths: Vec<Truth> = (0..50).map(|_| Truth { changes: Vec::new() }).collect();
    truths.iter_mut().for_each(|truth| truth.change(0, "Running"));
    let mut recorder = Some(Recorder::open(&path, LIMITS).unwrap());
    for (cluster, truth) in truths.iter().enumerate() {
        recorder.as_ref().unwrap().observed(0, truth.observation(cluster)).await;
    }
    recorder.as_ref().unwrap().listed(0, keys(50)).await;
    for now in (1_000..end).step_by(1_000) {
        if random.random_bool(0.05) {
            recorder = None;
        } else if recorder.is_none() && random.random_bool(0.2) {
            let started = Recorder::open(&path, LIMITS).unwrap();
            for (cluster, truth) in truths.iter().enumerate() {
                started.observed(now, truth.observation(cluster)).await;
            }
            started.listed(now, keys(50)).await;
            recorder = Some(started);
        }
        for (cluster, truth) in truths.iter_mut().enumerate() {
            if random.random_bool(0.05) {
                truth.change(now, ["Running", "Failed", "Degraded"][random.random_range(0..3)]);
                if let Some(recorder) = &recorder {
                    recorder.observed(now, truth.observation(cluster)).await;
                }
            }
        }
    }
    let last = recorder.unwrap_or_else(|| Recorder::open(&path, LIMITS).unwrap());
    for (cluster, truth) in truths.iter().enumerate() {
        last.observed(end, truth.observation(cluster)).await;
    }
    drop(last);
    let reader = Reader::open(&path).unwrap();
    let found = reader.availability(&Selection::default(), Grouping::Cluster, (0, end)).unwrap();
    let found: BTreeMap<String, Availability> = found.into_iter().map(|found| (found.name.clone(), found)).collect();
    let recorded = reader.changes(&Selection::default(), 0, 100_000).unwrap();
    for (cluster, truth) in truths.iter().enumerate() {
        let (found, (up, down)) = (&found[&format!("fleet/c{cluster}")], truth.account(end));
        let of_cluster = recorded.iter().filter(|row| row.cluster == format!("c{cluster}"));
        let times: Vec<i64> = of_cluster.map(|row| row.at).rev().collect();
        assert_eq!(times, truth.changes.iter().map(|change| change.stamp).collect::<Vec<_>>(), "no change is missing");
        assert_eq!((found.up_seconds, found.down_seconds), (up / 1_000, down / 1_000));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn removed_cluster_counts_until_it_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut truth = Truth { changes: Vec::new() };
    truth.change(0, "Running");
    let recorder = Recorder::open(&path, LIMITS).unwrap();
    recorder.observed(1_000, truth.observation(0)).await;
    recorder.listed(1_000, keys(1)).await;
    recorder.gone(60_000, ObjectKey::new("fleet", "c0")).await;
    drop(recorder);
    let found = availability(&path, 100_000);
    assert_eq!((found[0].up_seconds, found[0].down_seconds, found[0].unknown_seconds), (60, 0, 0));
}

/// Broken from 20 to 80 s, in a window from 10 s that was to end at 100 s and is removed at 50 s.
#[tokio::test(flavor = "multi_thread")]
async fn maintenance_counts_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let mut truth = Truth { changes: Vec::new() };
    let recorder = Recorder::open(&path, LIMITS).unwrap();
    let rows = [
        (0, "Running", None),
        (10, "Running", Some(100)),
        (20, "Failed", Some(100)),
        (50, "Failed", None),
        (80, "Running", None),
    ];
    for (second, phase, window) in rows {
        truth.change(second * 1_000, phase);
        let mut observation = truth.observation(0);
        observation.series[0].maintenance = window.map(|second: i64| second * 1_000);
        recorder.observed(second * 1_000, observation).await;
    }
    drop(recorder);
    let found = &availability(&path, 100_000)[0];
    let seconds = (found.up_seconds, found.down_seconds, found.unknown_seconds, found.maintenance_seconds);
    assert_eq!(seconds, (10 + 20, 30, 0, 40));
}

fn availability(path: &Path, end: i64) -> Vec<Availability> {
    Reader::open(path).unwrap().availability(&Selection::default(), Grouping::Tool, (0, end)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn second_writer_and_foreign_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let first = Recorder::open(&path, LIMITS).unwrap();
    assert!(matches!(Recorder::open(&path, LIMITS), Err(HistoryError::InUse(_))));
    drop(first);
    drop(Recorder::open(&path, LIMITS).unwrap());
    let text = dir.path().join("notes.txt");
    std::fs::write(&text, "not a history, but long enough to have a header of its own".repeat(20)).unwrap();
    assert!(matches!(Recorder::open(&text, LIMITS), Err(HistoryError::Foreign(_))));
    assert!(Reader::open(&dir.path().join("absent.db")).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn old_changes_go_and_the_phase_before_them_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let hour = 3_600_000;
    let mut truth = Truth { changes: Vec::new() };
    for number in 0..10 {
        truth.change(number * hour, if number % 2 == 0 { "Running" } else { "Failed" });
    }
    let limits = Limits { retention: Duration::from_secs(3 * 3_600), ..LIMITS };
    let recorder = Recorder::open(&path, limits).unwrap();
    recorder.observed(10 * hour, truth.observation(0)).await;
    drop(recorder);
    let rows = Reader::open(&path).unwrap().changes(&Selection::default(), 0, 100).unwrap();
    let times: Vec<i64> = rows.iter().map(|row| row.at / hour).collect();
    assert_eq!(times, [9, 8, 7], "those of the last three hours, and the one that held at their start");
}

/// A tenth of what was written fits.
#[tokio::test(flavor = "multi_thread")]
async fn file_stays_below_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let limits = Limits { bytes: 200_000, ..LIMITS };
    for start in 0..3 {
        let recorder = Recorder::open(&path, limits).unwrap();
        for cluster in 0..400 {
            let mut truth = Truth { changes: Vec::new() };
            for number in 0..20 {
                let at = start * 1_000_000 + number * 1_000;
                truth.change(at, if number % 2 == 0 { "Running" } else { "Failed" });
            }
            recorder.observed((start + 1) * 1_000_000, truth.observation(cluster)).await;
        }
    }
    let recorder = Recorder::open(&path, limits).unwrap();
    recorder.alive(4_000_000).await;
    drop(recorder);
    let size = std::fs::metadata(&path).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
}
