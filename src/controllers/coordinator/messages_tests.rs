//! What a coordinator asks for, and when it has been answered.

use tokio::sync::mpsc;

use super::super::test_kit::{self, key};
use super::*;
use crate::domain::replica::Term;
use crate::domain::report::TargetReport;
use crate::domain::shards::Shards;
use crate::domain::verdict::Phase;

/// Of one replica, which owns everything.
fn fleet(replica: &Incarnation) -> Fleet {
    let mut fleet = test_kit::fleet();
    fleet.on_map(&map(1, replica));
    fleet
}

fn beat(targets: u32, set: Option<u64>) -> FromWorker {
    FromWorker::Heartbeat(Heartbeat { epoch: Epoch(1), targets, late: Vec::new(), set, confirms: false })
}

fn map(epoch: i64, owner: &Incarnation) -> ShardMap {
    ShardMap {
        term: Term(1),
        epoch: Epoch(epoch),
        members: [(owner.name.clone(), owner.clone())].into(),
        shards: Shards::new([(owner.name.clone(), "000-3ff".parse().unwrap())]),
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_says_what_is_known_answers_what_was_asked() {
    let replica = Arc::new(Incarnation::new("ksit-0", "uid", "nonce"));
    let mut fleet = fleet(&replica);
    let (replies, mut asked) = mpsc::channel(16);
    let say = |fleet: &mut Fleet, sequence, digests| {
        let message = FromWorker::Digests { sequence, epoch: Epoch(1), digests };
        fleet.on_message(Incoming { sender: replica.clone(), message, bytes: 0, replies: replies.clone() });
    };
    say(&mut fleet, 1, Vec::new());
    fleet.ask_owners([key()]);
    let known = fleet.targets[&key()].status.as_ref().unwrap().meaning;
    say(&mut fleet, 2, vec![known]);
    tokio::time::advance(2 * ASK_AGAIN).await;
    fleet.ask_again();
    let mut wants = 0;
    while let Ok(answer) = asked.try_recv() {
        wants += u32::from(matches!(answer, ToWorker::Want { .. }));
    }
    assert_eq!(wants, 1, "it was asked for once, and not again");
}

/// The worker's report does not get through: it ends the link, or its worker leaves it out.
#[tokio::test(start_paused = true)]
async fn heartbeat_renews_no_target_whose_report_is_missing() {
    let replica = Arc::new(Incarnation::new("ksit-0", "uid", "nonce"));
    let mut fleet = fleet(&replica);
    let (replies, _asked) = mpsc::channel(16);
    let say = |fleet: &mut Fleet, message| {
        fleet.on_message(Incoming { sender: replica.clone(), message, bytes: 0, replies: replies.clone() });
    };
    let beat = || beat(1, None);
    let news =
        |sequence| FromWorker::Digests { sequence, epoch: Epoch(1), digests: vec![Digest::of(&key(), ["news"])] };
    let phase = |fleet: &Fleet| fleet.targets[&key()].status.as_ref().unwrap().phase;
    say(&mut fleet, news(1));
    for round in 2..8 {
        tokio::time::advance(fleet.context.round).await;
        say(&mut fleet, beat());
        // It dials again and says the same.
        say(&mut fleet, news(round));
        fleet.on_tick();
    }
    assert_eq!(phase(&fleet), Some(Phase::Unknown));

    // It arrives.
    let report = test_kit::report(Vec::new());
    say(&mut fleet, FromWorker::Report { sequence: 8, meaning: None, report: Box::new(report) });
    for _ in 0..8 {
        tokio::time::advance(fleet.context.round).await;
        say(&mut fleet, beat());
        fleet.on_tick();
    }
    assert_eq!(phase(&fleet), Some(Phase::Running));
}

#[tokio::test(start_paused = true)]
async fn who_sees_a_new_epoch_sees_what_it_leaves_unobserved() {
    let [former, owner] = ["ksit-0", "ksit-1"].map(|name| Arc::new(Incarnation::new(name, "uid", "nonce")));
    let mut fleet = fleet(&former);
    fleet.desk.unobserved.clear();
    fleet.show_unobserved();
    fleet.on_map(&map(2, &owner));
    let metrics = &fleet.context.metrics;
    assert_eq!((metrics.shard_map_epoch.get(), metrics.targets_unobserved.get()), (2.0, 1.0));
}

/// A report of 400 kB, by an epoch that nobody has published.
fn early(sender: &Arc<Incarnation>, target: &str, replies: &mpsc::Sender<ToWorker>) -> Incoming {
    let target = TargetKey::new("fleet", target);
    let report = Box::new(TargetReport { target, epoch: Epoch(9_000_000), ..test_kit::report(Vec::new()) });
    let message = FromWorker::Report { sequence: 1, meaning: None, report };
    Incoming { sender: sender.clone(), message, bytes: 400_000, replies: replies.clone() }
}

#[tokio::test(start_paused = true)]
async fn messages_of_strangers_are_not_kept() {
    let replica = Incarnation::new("ksit-0", "uid", "nonce");
    let (known, replies) = (replica.clone(), mpsc::channel(16).0);
    let mut fleet = test_kit::fleet_with(Arc::new(move |process| *process == known));
    fleet.on_map(&map(1, &replica));
    // Another Pod of the same name is a stranger too.
    for stranger in ["intruder", "ksit-0"].map(|name| Arc::new(Incarnation::new(name, "other", "x"))) {
        fleet.on_message(early(&stranger, "c1", &replies));
        let heartbeat = beat(0, None);
        fleet.on_message(Incoming { sender: stranger.clone(), message: heartbeat, bytes: 9, replies: replies.clone() });
        assert_eq!(fleet.context.exchange.heard(&stranger), None);
    }
    assert!(fleet.desk.workers.is_empty());
    assert_eq!(fleet.desk.deferred.bytes(), 0);
    fleet.on_tick();
    assert!(fleet.context.exchange.loads.borrow().iter().all(|load| load.name == "ksit-0"));
    assert_eq!(fleet.context.metrics.observations.with_label_values(&["not_a_member"]).get(), 4);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_future_epoch_are_bounded() {
    let replica = Arc::new(Incarnation::new("ksit-0", "uid", "nonce"));
    let mut fleet = fleet(&replica);
    let replies = mpsc::channel(16).0;
    for _ in 0..100 {
        fleet.on_message(early(&replica, "c1", &replies));
    }
    assert_eq!(fleet.desk.deferred.bytes(), 400_000, "of one target the newest");
    for number in 2..100 {
        fleet.on_message(early(&replica, &format!("c{number}"), &replies));
    }
    assert_eq!(fleet.desk.deferred.bytes(), 800_000);
}
