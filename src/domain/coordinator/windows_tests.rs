//! Windows open and close over a target.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Effect;
use super::super::test_kit::{applied, fleet, key, map, report, target, worker};
use super::*;
use crate::domain::maintenance::When;
use crate::domain::replica::Epoch;
use crate::domain::report::{FromWorker, Heartbeat, ToWorker};
use crate::domain::selector::{Requirement, Selector};

fn window(name: &str, seconds: u64) -> Window {
    let until = Timestamp::UNIX_EPOCH + Duration::from_secs(seconds);
    Window {
        key: WindowKey::new("fleet", name),
        selector: Selector::default(),
        integrations: Default::default(),
        when: When::Once { from: Timestamp::UNIX_EPOCH, until },
    }
}

fn listed(fleet: &mut Fleet, windows: &[Window]) {
    let now = fleet.now.wall;
    for window in windows {
        fleet.windows.on_event(applied(window.clone()), now);
    }
    let keys = windows.iter().map(|window| window.key.clone()).collect();
    fleet.windows.on_event(ObjectEvent::Listed(keys), now);
}

/// The fleet with a worker that owns `fleet/c1` and has reported it.
fn reported() -> Fleet {
    let (mut fleet, owner) = (fleet(), worker("ksit-0"));
    fleet.on_map(&map(1, &owner, &[]));
    let heartbeat = Heartbeat { epoch: Epoch(1), targets: 0, late: Vec::new(), set: None, confirms: false };
    fleet.receive(&owner, FromWorker::Heartbeat(heartbeat));
    send_report(&mut fleet, 1);
    fleet
}

fn send_report(fleet: &mut Fleet, sequence: u64) {
    let message = FromWorker::Report { sequence, meaning: None, report: Box::new(report(Vec::new())) };
    fleet.receive(&worker("ksit-0"), message);
}

/// Whether the owner of the target is asked for its report.
fn is_asked(fleet: &mut Fleet) -> bool {
    fleet.sent_to(&worker("ksit-0")).iter().any(|message| matches!(message, ToWorker::Want { .. }))
}

fn shown(fleet: &Fleet) -> Option<String> {
    fleet.targets[&key()].status()?.maintenance.as_ref().map(|maintenance| maintenance.name.clone())
}

#[test]
fn target_is_written_once_when_a_window_opens_and_once_when_it_closes() {
    let mut fleet = reported();
    listed(&mut fleet, &[window("night", 100)]);
    fleet.writes();
    fleet.follow_windows();
    assert!(is_asked(&mut fleet));
    send_report(&mut fleet, 2);
    let writes = fleet.writes();
    assert_eq!((writes.len(), shown(&fleet).as_deref()), (1, Some("night")));
    assert_ne!(Some(writes[0].meaning), writes[0].former_meaning, "the queue must not drop it");
    for sequence in 3..9 {
        fleet.advance(Duration::from_secs(10));
        fleet.follow_windows();
        assert!(!is_asked(&mut fleet), "nothing changes while it is open");
        send_report(&mut fleet, sequence);
    }
    assert!(fleet.writes().is_empty());
    fleet.advance(Duration::from_secs(40));
    fleet.follow_windows();
    assert!(is_asked(&mut fleet));
    send_report(&mut fleet, 9);
    assert_eq!((fleet.writes().len(), shown(&fleet)), (1, None));
}

/// A new coordinator has the statuses before it has the windows.
#[test]
fn maintenance_stays_until_the_windows_are_listed() {
    let mut fleet = reported();
    listed(&mut fleet, &[window("night", 100)]);
    send_report(&mut fleet, 2);
    assert_eq!(shown(&fleet).as_deref(), Some("night"));
    fleet.windows = Windows::default();
    fleet.follow_windows();
    send_report(&mut fleet, 3);
    assert_eq!(shown(&fleet).as_deref(), Some("night"));
    listed(&mut fleet, &[]);
    fleet.follow_windows();
    send_report(&mut fleet, 4);
    assert_eq!(shown(&fleet), None, "the window was deleted");
}

#[test]
fn window_covers_the_clusters_that_it_selects_in_its_namespace() {
    let mut fleet = reported();
    let prod = Requirement::In("env".to_owned(), ["prod".to_owned()].into());
    let selecting = Window { selector: Selector(vec![prod]), ..window("prod", 100) };
    let elsewhere = Window { key: WindowKey::new("other", "night"), ..window("night", 100) };
    listed(&mut fleet, &[selecting, elsewhere]);
    assert_eq!(fleet.maintenance_of(&key()), None);
    let mut labelled = target("c1", fleet.targets[&key()].status().cloned());
    labelled.desired.as_mut().unwrap().labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
    fleet.on_target(applied(labelled));
    assert_eq!(fleet.maintenance_of(&key()).unwrap().name, "prod");
    assert!(!fleet.effects.iter().any(|effect| matches!(effect, Effect::Notify(_))));
}
