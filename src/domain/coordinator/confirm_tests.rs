//! Heartbeats of workers that have lost a target, have one too many, or are of an earlier version.

use super::super::test_kit::{self, applied, key, map, status_of, target, worker};
use super::*;
use crate::domain::replica::{Epoch, Term};
use crate::domain::report::{FromWorker, TargetReport};
use crate::domain::verdict::Phase;

/// The coordinator, and a worker that owns everything: `fleet/c1` and `fleet/c2`, which are Running.
struct World {
    fleet: Fleet,
    worker: Arc<Incarnation>,
    /// Digests of the targets that the worker has.
    has: Vec<Digest>,
    /// Requests to confirm them.
    asked: u32,
    sequence: u64,
    sends_set: bool,
    answers: bool,
}

fn other() -> TargetKey {
    TargetKey::new("fleet", "c2")
}

impl World {
    fn new() -> Self {
        let worker = worker("ksit-0");
        let mut fleet = test_kit::fleet();
        fleet.on_target(applied(target("c2", None)));
        fleet.on_map(&map(1, &worker, &[]));
        let mut world = Self { fleet, worker, has: Vec::new(), asked: 0, sequence: 0, sends_set: true, answers: true };
        world.report(key(), 1);
        world.report(other(), 1);
        world
    }

    fn send(&mut self, message: FromWorker) {
        for answer in self.fleet.receive(&self.worker.clone(), message) {
            if answer == ToWorker::Confirm {
                self.asked += 1;
                if self.answers {
                    self.digests(self.has.clone());
                    self.heartbeat(true);
                }
            }
        }
    }

    fn report(&mut self, target: TargetKey, meaning: u128) {
        let digest = Digest { target: Digest::name(&target), meaning };
        self.has.retain(|other| other.target != digest.target);
        self.has.push(digest);
        self.sequence += 1;
        let (sequence, meaning) = (self.sequence, self.sends_set.then_some(meaning));
        let report = Box::new(TargetReport { target, ..test_kit::report(Vec::new()) });
        self.send(FromWorker::Report { sequence, meaning, report });
    }

    fn digests(&mut self, digests: Vec<Digest>) {
        self.sequence += 1;
        self.send(FromWorker::Digests { sequence: self.sequence, epoch: Epoch(1), digests });
    }

    fn heartbeat(&mut self, confirms: bool) {
        let set = self.sends_set.then(|| Digest::of_set(self.has.iter().copied()));
        let targets = u32::try_from(self.has.len()).unwrap();
        self.send(FromWorker::Heartbeat(Heartbeat { epoch: Epoch(1), targets, late: Vec::new(), set, confirms }));
    }

    fn rounds(&mut self, rounds: u32) {
        for _ in 0..rounds {
            self.fleet.advance(self.fleet.round);
            self.heartbeat(false);
            self.fleet.on_tick();
        }
    }

    fn phases(&self) -> [Option<Phase>; 2] {
        [key(), other()].map(|key| self.fleet.phase_of(&key))
    }

    fn lose(&mut self, target: &TargetKey) {
        self.has.retain(|digest| digest.target != Digest::name(target));
    }
}

const RUNNING: Option<Phase> = Some(Phase::Running);
const UNKNOWN: Option<Phase> = Some(Phase::Unknown);

#[test]
fn heartbeat_renews_only_confirmed_targets() {
    let mut world = World::new();
    world.rounds(9);
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 0), "both agree");
    world.lose(&other());
    world.rounds(2);
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
    world.rounds(2);
    assert_eq!(world.phases(), [RUNNING, UNKNOWN]);
    world.rounds(20);
    assert_eq!((world.phases(), world.asked), ([RUNNING, UNKNOWN], 1), "it was asked once");
    world.report(other(), 1);
    world.rounds(9);
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 1));
}

#[test]
fn target_with_another_digest_is_not_renewed() {
    let mut world = World::new();
    world.answers = false;
    world.has[1].meaning = 2;
    world.rounds(4);
    assert_eq!(world.phases(), [UNKNOWN, UNKNOWN], "the worker confirms nothing");
}

/// Its answer is on the way for longer than a round.
#[test]
fn heartbeat_before_the_answer_is_no_answer() {
    let mut world = World::new();
    world.answers = false;
    let all = world.has.clone();
    world.lose(&other());
    world.rounds(1);
    world.has = all;
    world.rounds(1);
    assert!(world.fleet.sessions.unobserved.is_empty(), "nothing is taken for lost");
    world.rounds(9);
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
}

/// No replica observes it, and its status names the cause already.
#[test]
fn invalid_target_is_not_missed() {
    let mut world = World::new();
    let mut unusable = target("c1", None);
    unusable.desired = Err("clusterName is empty".to_owned());
    world.fleet.on_target(applied(unusable));
    world.lose(&key());
    world.rounds(4);
    assert_eq!((world.phases()[0], world.asked), (Some(Phase::Failed), 0));
    assert!(world.fleet.sessions.unobserved.is_empty());
}

/// A target that the worker has and the hub doesn't; and reports all the time.
#[test]
fn lasting_mismatch_is_asked_for_once_a_round() {
    let mut world = World::new();
    world.has.push(Digest { target: 7, meaning: 7 });
    for round in 0..20 {
        world.rounds(1);
        world.report(key(), round);
        world.fleet.advance(Duration::from_millis(10));
        world.heartbeat(false);
    }
    assert_eq!(world.phases(), [RUNNING, RUNNING]);
    assert!((10..=20).contains(&world.asked), "asked {} times", world.asked);
}

#[test]
fn differing_digest_renews_nothing_before_its_report() {
    let mut world = World::new();
    for meaning in 2..6 {
        world.fleet.advance(world.fleet.round);
        world.digests(vec![Digest { target: Digest::name(&other()), meaning }]);
        world.fleet.on_tick();
    }
    assert_eq!(world.phases()[1], UNKNOWN);
}

#[test]
fn worker_of_an_earlier_version_renews_without_a_set() {
    let mut world = World::new();
    world.sends_set = false;
    world.report(key(), 1);
    world.rounds(9);
    assert_eq!((world.phases(), world.asked), ([RUNNING, RUNNING], 0));
}

/// A former coordinator's write is seen while the owner has no link; the owner has no news of the target afterwards.
#[test]
fn overwritten_status_is_asked_for_when_its_owner_is_back() {
    let mut world = World::new();
    world.fleet.sessions.disconnect_all();
    let mut unknown = status_of(Phase::Unknown);
    unknown.term = Some(Term(0));
    world.fleet.targets.get_mut(&key()).unwrap().report = None;
    world.fleet.on_target(applied(target("c1", Some(unknown))));
    world.sequence += 1;
    let message = FromWorker::Digests { sequence: world.sequence, epoch: Epoch(1), digests: world.has.clone() };
    let answers = world.fleet.receive(&world.worker.clone(), message);
    assert_eq!(answers[0], ToWorker::Want { targets: vec![Digest::name(&key())] });
    world.report(key(), 1);
    assert_eq!(world.phases()[0], RUNNING);
}
