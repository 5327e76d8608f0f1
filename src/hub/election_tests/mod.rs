//! Elections over a scripted hub, on a clock that stands still unless everybody waits.
//!
//! ```text
//! Election (ours, and the crate in it) ─> kube::Client ─> script: when is it done, when answered? ─> one Lease
//!        ^                                                                                            │
//!        └────────────────────────────── board <── watch, a moment later ─────────────────────────────┘
//! ```
//!
//! The crate judges by the wall clock, on which no time passes here: whoever waits for it waits for ever.

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

/// Of one request.
const DEADLINE: Duration = Duration::from_secs(4);

/// Until a watch shows a change.
const LAG: Duration = Duration::from_millis(100);

/// From the moment in which a Lease may be taken: courtesy, two requests, a failure or two.
const SOON: Duration = Duration::from_secs(5);

const STEP: Duration = Duration::from_millis(10);

/// Two candidates, `0` and `1`.
struct World {
    hub: ScriptedHub,
    clock: Clock,
    seats: [Arc<Leadership>; 2],
    /// For how long both believed to lead, in all.
    both: Duration,
    _tasks: JoinSet<()>,
}

impl World {
    /// Candidates that find the Lease as `spec` says, or none.
    async fn new(spec: Option<LeaseSpec>) -> Self {
        Self::with_script(spec, |_| Fate::prompt()).await
    }

    async fn with_script(spec: Option<LeaseSpec>, script: impl FnMut(&Request) -> Fate + Send + 'static) -> Self {
        let clock = Clock::start();
        let boards = [(); 2].map(|()| Arc::new(LeaseBoard::new(clock, RENEW + DEADLINE)));
        let hub = ScriptedHub::new(spec, boards.clone(), script);
        let seats = [(); 2].map(|()| Arc::new(Leadership::default()));
        let mut tasks = JoinSet::new();
        for (number, board) in boards.into_iter().enumerate() {
            board.listed(&Default::default(), clock.now());
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
            let leadership = seats[number].clone();
            tasks.spawn(async move {
                panic!("the election ended: {}", election.run(&leadership).await);
            });
            let is_cut = hub.cut[number].clone();
            // Its own Lease: that its writes succeed is what lets it judge others by their silence.
            tasks.spawn(async move {
                loop {
                    board.wrote(!is_cut.load(Ordering::Relaxed));
                    sleep(Duration::from_secs(1)).await;
                }
            });
        }
        Self { hub, clock, seats, both: Duration::ZERO, _tasks: tasks }
    }

    /// Who believes to lead at this moment.
    fn leaders(&self) -> Vec<usize> {
        let now = self.clock.now();
        let leads = |number: &usize| self.seats[*number].claim.borrow().is_some_and(|claim| claim.valid_at(now));
        (0..2).filter(leads).collect()
    }

    /// Lets `time` pass.
    async fn pass(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(STEP).await;
            if self.leaders().len() == 2 {
                self.both += STEP;
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

    /// The one that leads once the first election is over. Two that ask at the very same moment may both believe the
    /// answer until the watch tells; that is another test's.
    async fn first_leader(&mut self) -> usize {
        self.leader_within(SOON).await;
        self.pass(LAG * 3).await;
        let leader = self.leader_within(SOON).await;
        self.both = Duration::ZERO;
        leader
    }

    /// Exactly this one leads, for minutes on end.
    async fn assert_settled(&mut self, leader: usize) {
        self.both = Duration::ZERO;
        for _ in 0..120 {
            self.pass(Duration::from_secs(1)).await;
            assert_eq!(self.leaders(), [leader]);
        }
        assert_eq!(self.both, Duration::ZERO);
    }

    /// From now on nothing of this candidate reaches the hub, and nothing comes back.
    fn cut_off(&self, candidate: usize, is_cut: bool) {
        self.hub.cut[candidate].store(is_cut, Ordering::Relaxed);
    }
}

/// The StatefulSet.
fn owner() -> OwnerReference {
    OwnerReference {
        kind: "StatefulSet".to_owned(),
        name: "ksit".to_owned(),
        uid: "1".to_owned(),
        ..Default::default()
    }
}

/// As a coordinator of the past left it that gave its Lease back.
fn vacated() -> LeaseSpec {
    serde_json::from_value(serde_json::json!({
        "holderIdentity": "", "acquireTime": "1970-01-01T00:00:00.000000Z",
        "renewTime": "1970-01-01T00:00:00.000000Z", "leaseDurationSeconds": 1, "leaseTransitions": 3,
    }))
    .unwrap()
}

/// Held by somebody who is no more.
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
