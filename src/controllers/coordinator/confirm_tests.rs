//! Heartbeats of workers that have lost a target, have one too many, or are of an earlier version.

use serde_json::json;

use super::super::cached_status::TargetObject;
use super::super::test_kit::{self, key};
use super::*;
use crate::domain::replica::{Epoch, Term};
use crate::domain::report::{FromWorker, TargetReport};
use crate::domain::shard_map::ShardMap;
use crate::domain::shards::Shards;
use crate::domain::verdict::Phase;
use crate::hub::Change;
use crate::reports::Incoming;

/// The coordinator, and a worker that owns everything: `fleet/c1` and `fleet/c2`, which are Running.
struct World {
    fleet: Fleet,
    worker: Arc<Incarnation>,
    /// Digests of what the worker has, and how often it was asked to confirm them.
    has: Vec<Digest>,
    asked: u32,
    sequence: u64,
    says_set: bool,
    answers: bool,
}

fn other() -> TargetKey {
    TargetKey::new("fleet", "c2")
}

impl World {
    fn new() -> Self {
        let worker = Arc::new(Incarnation::new("ksit-0", "uid", "nonce"));
        let mut fleet = test_kit::fleet();
        let object = json!({
            "apiVersion": "ksit.io/v1alpha1", "kind": "IntegrationTarget",
            "metadata": { "namespace": "fleet", "name": "c2" }, "spec": { "clusterName": "c2" },
        });
        fleet.on_target(TargetObject::of(Change::Applied(serde_json::from_value(object).unwrap())));
        fleet.on_map(&ShardMap {
            term: Term(1),
            epoch: Epoch(1),
            members: [(worker.name.clone(), (*worker).clone())].into(),
            shards: Shards::new([(worker.name.clone(), "000-3ff".parse().unwrap())]),
        });
        let has = Vec::new();
        let mut world = Self { fleet, worker, has, asked: 0, sequence: 0, says_set: true, answers: true };
        world.report(key(), 1);
        world.report(other(), 1);
        world
    }

    fn say(&mut self, message: FromWorker) {
        let (replies, mut answers) = mpsc::channel(16);
        self.fleet.on_message(Incoming { sender: self.worker.clone(), message, bytes: 0, replies });
        while let Ok(answer) = answers.try_recv() {
            if answer == ToWorker::Confirm {
                self.asked += 1;
                if self.answers {
                    self.digests(self.has.clone());
                    self.beat(true);
                }
            }
        }
    }

    fn report(&mut self, target: TargetKey, meaning: u128) {
        let digest = Digest { target: Digest::name(&target), meaning };
        self.has.retain(|other| other.target != digest.target);
        self.has.push(digest);
        self.sequence += 1;
        let (sequence, meaning) = (self.sequence, self.says_set.then_some(meaning));
        let report = Box::new(TargetReport { target, ..test_kit::report(Vec::new()) });
        self.say(FromWorker::Report { sequence, meaning, report });
    }

    fn digests(&mut self, digests: Vec<Digest>) {
        self.sequence += 1;
        self.say(FromWorker::Digests { sequence: self.sequence, epoch: Epoch(1), digests });
    }

    fn beat(&mut self, confirms: bool) {
        let set = self.says_set.then(|| Digest::of_set(self.has.iter().copied()));
        let targets = u32::try_from(self.has.len()).unwrap();
        self.say(FromWorker::Heartbeat(Heartbeat { epoch: Epoch(1), targets, late: Vec::new(), set, confirms }));
    }

    async fn rounds(&mut self, rounds: u32) {
        for _ in 0..rounds {
            tokio::time::advance(self.fleet.context.round).await;
            self.beat(false);
            self.fleet.on_tick();
        }
    }

    fn phases(&self) -> [Option<Phase>; 2] {
        [key(), other()].map(|key| self.fleet.targets[&key].status.as_ref().and_then(|status| status.phase))
    }

    fn lose(&mut self, target: &TargetKey) {
        self.has.retain(|digest| digest.target != Digest::name(target));
    }
}

const RUNNING: Option<Phase> = Some(Phase::Running);
const UNKNOWN: Option<Phase> = Some(Phase::Unknown);

#[tokio::test(start_paused = true)]
async fn heartbeat_renews_what_its_worker_confirms_and_nothing_else() {
    let mut world = World::new();
    world.rounds(9).await;
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 0), "both agree");
    world.lose(&other());
    world.rounds(2).await;
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
    world.rounds(2).await;
    assert_eq!(world.phases(), [RUNNING, UNKNOWN]);
    world.rounds(20).await;
    assert_eq!((world.phases(), world.asked), ([RUNNING, UNKNOWN], 1), "it was told once");
    world.report(other(), 1);
    world.rounds(9).await;
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 1));
}

#[tokio::test(start_paused = true)]
async fn target_that_its_worker_has_by_another_meaning_is_not_renewed() {
    let mut world = World::new();
    world.answers = false;
    world.has[1].meaning = 2;
    world.rounds(4).await;
    assert_eq!(world.phases(), [UNKNOWN, UNKNOWN], "the worker confirms nothing");
}

/// Its answer is on the way for longer than a round.
#[tokio::test(start_paused = true)]
async fn heartbeat_before_the_answer_is_no_answer() {
    let mut world = World::new();
    world.answers = false;
    let all = world.has.clone();
    world.lose(&other());
    world.rounds(1).await;
    world.has = all;
    world.rounds(1).await;
    assert!(world.fleet.desk.unobserved.is_empty(), "nothing is taken for lost");
    world.rounds(9).await;
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
}

/// No replica observes it, and its status names the cause already.
#[tokio::test(start_paused = true)]
async fn target_that_can_not_be_used_is_missed_by_nobody() {
    let mut world = World::new();
    let unusable = test_kit::target(&json!({ "clusterName": "" }), &test_kit::slot_label(), &json!(null));
    world.fleet.on_target(unusable);
    world.lose(&key());
    world.rounds(4).await;
    assert_eq!((world.phases()[0], world.asked), (Some(Phase::Failed), 0));
    assert!(world.fleet.desk.unobserved.is_empty());
}

/// A target that the worker has and the hub doesn't; and reports all the time.
#[tokio::test(start_paused = true)]
async fn lasting_mismatch_leaves_confirmed_targets_fresh_and_is_asked_for_once_a_round() {
    let mut world = World::new();
    world.has.push(Digest { target: 7, meaning: 7 });
    for round in 0..20 {
        world.rounds(1).await;
        world.report(key(), round);
        tokio::time::advance(std::time::Duration::from_millis(10)).await;
        world.beat(false);
    }
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
    assert!((10..=20).contains(&world.asked), "asked {} times", world.asked);
}

#[tokio::test(start_paused = true)]
async fn digest_that_differs_renews_nothing_before_its_report_comes() {
    let mut world = World::new();
    for meaning in 2..6 {
        tokio::time::advance(world.fleet.context.round).await;
        world.digests(vec![Digest { target: Digest::name(&other()), meaning }]);
        world.fleet.on_tick();
    }
    assert_eq!(world.phases()[1], UNKNOWN);
}

#[tokio::test(start_paused = true)]
async fn worker_of_an_earlier_version_is_believed_as_before() {
    let mut world = World::new();
    world.says_set = false;
    world.report(key(), 1);
    world.rounds(9).await;
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 0));
}

/// A former coordinator's write is seen while the owner has no link; the owner has no news of the target afterwards.
#[tokio::test(start_paused = true)]
async fn status_that_was_written_over_while_nobody_could_be_asked_is_asked_for() {
    let mut world = World::new();
    world.fleet.desk.workers.clear();
    let unknown = json!({ "phase": "Unknown", "coordinatorTerm": 0, "managedBy": "ksit-system/ksit" });
    let written_over = test_kit::target(&json!({ "clusterName": "c1" }), &test_kit::slot_label(), &unknown);
    world.fleet.targets.get_mut(&key()).unwrap().report = None;
    world.fleet.on_target(written_over);
    let (replies, mut answers) = mpsc::channel(16);
    let (sender, digests) = (world.worker.clone(), world.has.clone());
    world.sequence += 1;
    let message = FromWorker::Digests { sequence: world.sequence, epoch: Epoch(1), digests };
    world.fleet.on_message(Incoming { sender, message, bytes: 0, replies });
    assert_eq!(answers.try_recv(), Ok(ToWorker::Want { targets: vec![Digest::name(&key())] }));
    world.report(key(), 1);
    assert_eq!(world.fleet.targets[&key()].summary().unwrap().phase.as_deref(), Some("Running"));
}
