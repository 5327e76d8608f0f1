//! Requests of a coordinator, and their answers.

use super::super::test_kit::{self, ROUND, key, map, worker};
use super::*;
use crate::domain::report::TargetReport;
use crate::domain::verdict::Phase;

/// One replica owns everything.
fn fleet(replica: &Incarnation) -> Fleet {
    let mut fleet = test_kit::fleet();
    fleet.on_map(&map(1, replica, &[]));
    fleet
}

fn heartbeat(targets: u32) -> FromWorker {
    let (epoch, late) = (Epoch(1), Vec::new());
    FromWorker::Heartbeat(Heartbeat { epoch, targets, late, set: None, confirms: false })
}

#[test]
fn digest_of_the_known_status_answers_a_request() {
    let replica = worker("ksit-0");
    let mut fleet = fleet(&replica);
    let digests = |sequence, digests| FromWorker::Digests { sequence, epoch: Epoch(1), digests };
    fleet.receive(&replica, digests(1, Vec::new()));
    fleet.ask_owners([key()]);
    let is_request = |message: &ToWorker| matches!(message, ToWorker::Want { .. });
    assert_eq!(fleet.sent_to(&replica).iter().filter(|message| is_request(message)).count(), 1);
    let known = fleet.targets[&key()].status.as_ref().unwrap().digest;
    fleet.receive(&replica, digests(2, vec![known]));
    fleet.advance(2 * ASK_AGAIN);
    fleet.ask_again();
    assert_eq!(fleet.sent_to(&replica), [], "it is not asked for again");
}

/// The worker's report does not get through: it ends the link, or its worker leaves it out.
#[test]
fn heartbeat_renews_no_target_whose_report_is_missing() {
    let replica = worker("ksit-0");
    let mut fleet = fleet(&replica);
    let news =
        |sequence| FromWorker::Digests { sequence, epoch: Epoch(1), digests: vec![Digest::of(&key(), ["news"])] };
    fleet.receive(&replica, news(1));
    for round in 2..8 {
        fleet.advance(ROUND);
        fleet.receive(&replica, heartbeat(1));
        // It dials again and sends the same.
        fleet.receive(&replica, news(round));
        fleet.on_tick();
    }
    assert_eq!(fleet.phase_of(&key()), Some(Phase::Unknown));

    // The report arrives.
    let report = Box::new(test_kit::report(Vec::new()));
    fleet.receive(&replica, FromWorker::Report { sequence: 8, meaning: None, report });
    for _ in 0..8 {
        fleet.advance(ROUND);
        fleet.receive(&replica, heartbeat(1));
        fleet.on_tick();
    }
    assert_eq!(fleet.phase_of(&key()), Some(Phase::Running));
}

#[test]
fn unobserved_targets_are_shown_before_the_epoch() {
    let [former, owner] = ["ksit-0", "ksit-1"].map(worker);
    let mut fleet = fleet(&former);
    fleet.sessions.unobserved.clear();
    fleet.effects.clear();
    fleet.on_map(&map(2, &owner, &[]));
    let metrics: Vec<&Metric> = fleet
        .effects
        .iter()
        .filter_map(|effect| if let Effect::Metric(metric) = effect { Some(metric) } else { None })
        .collect();
    assert!(matches!(metrics[..], [Metric::Unobserved(1), Metric::Epoch(Epoch(2)), ..]), "{metrics:?}");
}

/// A report of 400 kB, by an epoch that was never published.
fn early(sender: &Arc<Incarnation>, target: &str) -> Message {
    let target = TargetKey::new("fleet", target);
    let report = Box::new(TargetReport { target, epoch: Epoch(9_000_000), ..test_kit::report(Vec::new()) });
    let message = FromWorker::Report { sequence: 1, meaning: None, report };
    Message { sender: sender.clone(), message, bytes: 400_000 }
}

#[test]
fn messages_of_a_future_epoch_are_bounded() {
    let replica = worker("ksit-0");
    let mut fleet = fleet(&replica);
    for _ in 0..100 {
        fleet.on_message(early(&replica, "c1"));
    }
    assert_eq!(fleet.sessions.deferred_bytes(), 400_000, "of one target the newest");
    for number in 2..100 {
        fleet.on_message(early(&replica, &format!("c{number}")));
    }
    assert_eq!(fleet.sessions.deferred_bytes(), 800_000);
}
