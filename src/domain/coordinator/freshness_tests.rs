//! Targets without reports: by design, not yet, or no longer.

use super::super::event::TargetObject;
use super::super::test_kit::{self, applied, empty_fleet, fleet, key, map, report, status_of, target, worker};
use super::*;
use crate::domain::keys::TargetKey;
use crate::domain::replica::{Incarnation, Term};
use crate::domain::report::{FromWorker, Heartbeat};
use crate::domain::shards::Shards;
use crate::domain::status::TargetStatus;

const TICK: Duration = Duration::from_secs(2);

fn status(fleet: &Fleet) -> Option<TargetStatus> {
    fleet.targets[&key()].status().cloned()
}

fn phase(fleet: &Fleet) -> Option<Phase> {
    fleet.phase_of(&key())
}

/// The target `fleet/c1` with its present status.
fn same(fleet: &Fleet) -> TargetObject {
    target("c1", status(fleet))
}

fn invalid(object: TargetObject) -> TargetObject {
    TargetObject { desired: Err("clusterName is empty".to_owned()), ..object }
}

/// Ticks for so many rounds; the hub shows each write on `object`. Returns the number of writes.
fn run(fleet: &mut Fleet, rounds: u32, object: impl Fn(TargetObject) -> TargetObject) -> usize {
    let (end, mut all) = (fleet.now.clock + rounds * fleet.round, 0);
    while fleet.now.clock < end {
        fleet.advance(TICK);
        fleet.on_tick();
        let new = fleet.writes().len();
        if new > 0 {
            let echo = object(same(fleet));
            fleet.on_target(applied(echo));
        }
        all += new;
    }
    all
}

fn heartbeat(fleet: &mut Fleet, sender: &Arc<Incarnation>, epoch: i64) {
    let heartbeat = Heartbeat { epoch: Epoch(epoch), targets: 0, late: Vec::new(), set: None, confirms: false };
    fleet.receive(sender, FromWorker::Heartbeat(heartbeat));
}

#[test]
fn invalid_target_is_written_once() {
    let mut fleet = empty_fleet();
    fleet.on_map(&map(1, &worker("ksit-0"), &[]));
    fleet.on_target(applied(invalid(target("c1", None))));
    assert_eq!(fleet.writes().len(), 1);
    let echo = invalid(same(&fleet));
    fleet.on_target(applied(echo));
    assert_eq!(run(&mut fleet, 20, invalid), 0);
    assert_eq!(phase(&fleet), Some(Phase::Failed));
}

/// The last report of its worker came after the change that made it invalid.
#[test]
fn report_on_an_invalid_target_is_not_written() {
    let mut fleet = fleet();
    for _ in 0..2 {
        let object = invalid(same(&fleet));
        fleet.on_target(applied(object));
    }
    fleet.writes();
    fleet.on_report(report(Vec::new()));
    assert_eq!((fleet.writes().len(), phase(&fleet)), (0, Some(Phase::Failed)));
}

#[test]
fn target_that_becomes_valid_has_three_rounds() {
    let mut fleet = fleet();
    let object = invalid(same(&fleet));
    fleet.on_target(applied(object));
    run(&mut fleet, 20, invalid);
    let object = same(&fleet);
    fleet.on_target(applied(object));
    run(&mut fleet, 2, |object| object);
    assert_eq!(phase(&fleet), Some(Phase::Failed), "its owner has three rounds");
    run(&mut fleet, 2, |object| object);
    assert_eq!(phase(&fleet), Some(Phase::Unknown));
}

#[test]
fn paused_target_stays_paused_without_reports() {
    let end = "2999-01-01T00:00:00Z".parse().unwrap();
    for pause in [(true, None), (false, Some(end))] {
        let paused = |mut object: TargetObject| {
            let desired = object.desired.as_mut().unwrap();
            (desired.paused, desired.paused_until) = pause;
            object
        };
        let mut fleet = empty_fleet();
        fleet.on_target(applied(paused(target("c1", Some(status_of(Phase::Paused))))));
        assert_eq!((run(&mut fleet, 20, paused), phase(&fleet)), (0, Some(Phase::Paused)));
        // The pause ends, and no worker reports.
        let object = same(&fleet);
        fleet.on_target(applied(object));
        assert_eq!((run(&mut fleet, 20, |object| object), phase(&fleet)), (1, Some(Phase::Unknown)));
    }
}

#[test]
fn stale_target_is_written_once_and_rendered_rarely() {
    let mut fleet = fleet();
    assert_eq!((run(&mut fleet, 20, |object| object), phase(&fleet)), (1, Some(Phase::Unknown)));
    fleet.on_tick();
    let next = fleet.targets[&key()].stale_at - fleet.now.clock;
    assert!(next > TICK, "the next time is in {next:?}");
    // Somebody edits its status.
    fleet.on_target(applied(target("c1", Some(status_of(Phase::Running)))));
    fleet.on_tick();
    assert_eq!((fleet.writes().len(), phase(&fleet)), (1, Some(Phase::Unknown)));
}

/// Labels come at the rate of the hub, and the owner reads one target after the other.
#[test]
fn target_is_not_unknown_before_its_owner_could_observe_it() {
    let unlabelled = || TargetObject { slot_label: None, ..target("c1", None) };
    let [owner, other] = ["ksit-0", "ksit-1"].map(worker);
    let mut fleet = empty_fleet();
    fleet.on_target(applied(unlabelled()));
    let run = |fleet: &mut Fleet, rounds| run(fleet, rounds, |object| object);
    assert_eq!(run(&mut fleet, 9), 0, "it has no owner");
    let mut shared = map(1, &owner, &[&other]);
    // Each sees its own slots only.
    shared.shards =
        Shards::new([(owner.name.clone(), "000-3fe".parse().unwrap()), (other.name.clone(), "3ff".parse().unwrap())]);
    fleet.on_map(&shared);
    assert_eq!(run(&mut fleet, 9), 0, "its owner has not seen the map");
    heartbeat(&mut fleet, &owner, 1);
    assert_eq!(run(&mut fleet, 9), 0, "its owner can't see the target");
    fleet.on_target(applied(target("c1", None)));
    assert_eq!(run(&mut fleet, 2), 0, "its owner has three rounds");
    fleet.on_target(applied(target("c1", None)));
    assert_eq!((run(&mut fleet, 9), phase(&fleet)), (1, Some(Phase::Unknown)));
}

/// Thousands of targets are read for the first time one after the other.
#[test]
fn target_is_not_unknown_while_its_owner_reads_others_first() {
    let owner = worker("ksit-0");
    let mut fleet = empty_fleet();
    fleet.on_map(&map(1, &owner, &[]));
    fleet.on_target(applied(target("c1", None)));
    for number in 2..12 {
        let name = format!("c{number}");
        fleet.on_target(applied(target(&name, None)));
        let report =
            Box::new(TargetReport { target: TargetKey::new("fleet", name.as_str()), ..test_kit::report(Vec::new()) });
        fleet.receive(&owner, FromWorker::Report { sequence: number, meaning: None, report });
        run(&mut fleet, 2, |object| object);
        assert_eq!(phase(&fleet), None, "after {number}");
    }
    run(&mut fleet, 4, |object| object);
    assert_eq!(phase(&fleet), Some(Phase::Unknown));
}

/// CRDs of an earlier version know no `healthyComponents`, for instance.
#[test]
fn pruned_status_is_not_written_again() {
    let mut fleet = fleet();
    fleet.on_report(report(Vec::new()));
    let written = status(&fleet).unwrap();
    assert_eq!(fleet.writes().len(), 1);
    let pruned = TargetStatus { server: None, ..written.clone() };
    fleet.on_target(applied(target("c1", Some(pruned))));
    assert_eq!(status(&fleet), Some(written), "the next report is compared with the status that was written");
    assert_eq!(fleet.writes().len(), 0);
}

#[test]
fn status_of_another_term_is_overwritten_whatever_it_says() {
    let owner = worker("ksit-0");
    let mut fleet = fleet();
    fleet.on_map(&map(1, &owner, &[]));
    fleet.receive(&owner, FromWorker::Report { sequence: 1, meaning: None, report: Box::new(report(Vec::new())) });
    let written = status(&fleet).unwrap();
    fleet.writes();
    let synced_at = Some(fleet.now.wall - TICK);
    let former = TargetStatus { term: Some(Term(0)), synced_at, ..written };
    fleet.on_target(applied(target("c1", Some(former))));
    let writes = fleet.writes();
    assert_eq!(writes.len(), 1);
    assert_eq!((writes[0].status.term, writes[0].former_meaning), (Some(Term(1)), None));
}
