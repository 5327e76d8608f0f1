//! Tests elections against a scripted hub, on tokio's paused clock.
//!
//! ```text
//! Election (ours, with the crate) ─> kube::Client ─> script: when applied, when answered? ─> one Lease
//!        ^                                                                                   │
//!        └────────────────────────── board <── watch, a moment later ────────────────────────┘
//! ```
//!
//! The crate goes by the wall clock, which hardly advances here: a Lease never expires for it.

mod broken_leases;
mod interleavings;
pub(super) mod scripted_hub;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube_leader_election::{LeaseLock, LeaseLockParams};
use prometheus::{Histogram, HistogramOpts};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::clock::Clock;
use super::election::{Election, Leadership};
use super::lease_board::LeaseBoard;
use super::prompt_client::PromptClient;
use crate::domain::election::Identity;

use scripted_hub::{Fate, Request, ScriptedHub};

const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);

/// Request timeout.
const DEADLINE: Duration = Duration::from_secs(4);

/// Delay of the watch.
const LAG: Duration = Duration::from_millis(100);

/// Time to acquire a Lease that may be taken: courtesy delay, two requests, a failure or two.
const SOON: Duration = Duration::from_secs(5);

const STEP: Duration = Duration::from_millis(10);

/// Two candidates, `0` and `1`.
struct World {
    hub: ScriptedHub,
    clock: Clock,
    leaderships: [Arc<Leadership>; 2],
    /// Total time in which both held a valid claim.
    overlap: Duration,
    _tasks: JoinSet<()>,
}

impl World {
    /// Starts with the Lease `spec`, or without one.
    async fn new(spec: Option<LeaseSpec>) -> Self {
        Self::with_script(spec, |_| Fate::prompt()).await
    }

    async fn with_script(spec: Option<LeaseSpec>, script: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        let clock = Clock::start();
        let boards = [(); 2].map(|()| Arc::new(LeaseBoard::new(clock, RENEW + DEADLINE)));
        let hub = ScriptedHub::new(spec, boards.clone(), script);
        let leaderships = [(); 2].map(|()| Arc::new(Leadership::default()));
        let mut tasks = JoinSet::new();
        for (number, board) in boards.into_iter().enumerate() {
            board.finish_list(&Default::default(), clock.now());
            hub.show(&board);
            let client = hub.client(number);
            let election = Election {
                hub: PromptClient::connected_by(Arc::new(move || Ok(client.clone())), DEADLINE).unwrap(),
                board: board.clone(),
                namespace: "ksit-system".to_owned(),
                lease_name: "ksit-coordinator".to_owned(),
                identity: Identity::new(&format!("ksit-{number}"), "uid", "random").unwrap(),
                ttl: TTL,
                renew: RENEW,
                owner: Some(owner()),
                renew_seconds: Histogram::with_opts(HistogramOpts::new("renewals", "Of a test.")).unwrap(),
            };
            let leadership = leaderships[number].clone();
            tasks.spawn(async move {
                panic!("the election ended: {}", election.run(&leadership).await);
            });
            let is_cut = hub.cut[number].clone();
            // Stands for renewals of its member Lease: only a candidate whose writes succeed may judge others' silence.
            tasks.spawn(async move {
                loop {
                    match is_cut.load(Ordering::Relaxed) {
                        true => board.record_write_failed(),
                        false => board.record_write_answered(),
                    }
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
        Self { hub, clock, leaderships, overlap: Duration::ZERO, _tasks: tasks }
    }

    /// Candidates with a valid claim now.
    fn leaders(&self) -> Vec<usize> {
        let now = self.clock.now();
        let leads = |number: &usize| self.leaderships[*number].claim.borrow().is_some_and(|claim| claim.valid_at(now));
        (0..2).filter(leads).collect()
    }

    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(STEP).await;
            if self.leaders().len() == 2 {
                self.overlap += STEP;
            }
        }
    }

    /// Waits until exactly one leads; panics if that takes longer than `patience`.
    async fn leader_within(&mut self, patience: Duration) -> usize {
        let end = Instant::now() + patience;
        loop {
            if let [leader] = self.leaders()[..] {
                return leader;
            }
            assert!(Instant::now() < end, "nobody leads alone after {patience:?}; the Lease: {:?}", self.hub.lease());
            self.pass(STEP).await;
        }
    }

    /// Returns the leader once the first election is over. Two simultaneous requests may both succeed until the watch
    /// shows the result; another test covers that.
    async fn first_leader(&mut self) -> usize {
        self.leader_within(SOON).await;
        self.pass(LAG * 3).await;
        let leader = self.leader_within(SOON).await;
        self.overlap = Duration::ZERO;
        leader
    }

    /// Asserts that `leader` alone leads for two minutes.
    async fn assert_settled(&mut self, leader: usize) {
        self.overlap = Duration::ZERO;
        for _ in 0..120 {
            self.pass(Duration::from_secs(1)).await;
            assert_eq!(self.leaders(), [leader]);
        }
        assert_eq!(self.overlap, Duration::ZERO);
    }

    /// Cuts the candidate's link to the hub in both directions, or restores it.
    fn cut_off(&self, candidate: usize, is_cut: bool) {
        self.hub.cut[candidate].store(is_cut, Ordering::Relaxed);
    }
}

fn owner() -> OwnerReference {
    OwnerReference {
        kind: "StatefulSet".to_owned(),
        name: "ksit".to_owned(),
        uid: "1".to_owned(),
        ..Default::default()
    }
}

/// A Lease released by an earlier coordinator.
fn vacated() -> LeaseSpec {
    serde_json::from_value(serde_json::json!({
        "holderIdentity": "", "acquireTime": "1970-01-01T00:00:00.000000Z",
        "renewTime": "1970-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1, "leaseTransitions": 3,
    }))
    .unwrap()
}

/// A Lease held by a dead process.
fn held(renew_time: &str) -> LeaseSpec {
    serde_json::from_value(serde_json::json!({
        "holderIdentity": "ksit-9_uid_random", "acquireTime": "2026-01-01T00:00:00.000000Z",
        "renewTime": renew_time, "leaseDurationSeconds": 10, "leaseTransitions": 3,
    }))
    .unwrap()
}

/// An hour from now by the wall clock, or an hour ago.
fn an_hour(ahead: bool) -> String {
    let hour = jiff::SignedDuration::from_hours(if ahead { 1 } else { -1 });
    format!("{:.6}", jiff::Timestamp::now() + hour)
}
