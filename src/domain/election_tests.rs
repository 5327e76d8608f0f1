//! Tests of each election rule.

use super::*;
use crate::domain::replica::Term;

const TTL: Duration = Duration::from_secs(10);
const RENEW: Duration = Duration::from_secs(3);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn me() -> Identity {
    Identity::new("ksit-0", "uid", "random").unwrap()
}

fn held_by(holder: &str) -> ElectionLease {
    ElectionLease {
        resource_version: "7".to_owned(),
        holder: Some(holder.to_owned()),
        complete: true,
        vacated: false,
        changed: at(100),
    }
}

fn follower(lease: Option<&ElectionLease>, writes_since: Option<u64>, now: u64) -> Action {
    let (me, writes_since) = (me(), writes_since.map(at));
    decide(&Observation { me: &me, lease, writes_since, leading: None, ttl: TTL, renew: RENEW }, at(now))
}

/// Called the crate last, and acquired, at 100 s; valid until 108 s.
fn leader(lease: Option<&ElectionLease>, now: u64) -> Action {
    let leading = Leading { claim: Claim::new(Term(1), at(100), TTL, at(2)), asked: at(100) };
    let me = me();
    let observation =
        Observation { me: &me, lease, writes_since: Some(at(0)), leading: Some(leading), ttl: TTL, renew: RENEW };
    decide(&observation, at(now))
}

fn vacate() -> Action {
    Action::Vacate { resource_version: "7".to_owned() }
}

#[test]
fn identity_with_an_empty_part_is_refused() {
    assert_eq!(me().as_str(), "ksit-0_uid_random");
    for [name, uid, random] in [["", "uid", "r"], ["ksit-0", "", "r"], ["ksit-0", "uid", " "]] {
        assert_eq!(Identity::new(name, uid, random), Err(EmptyIdentity));
    }
}

#[test]
fn lease_with_another_holder_is_not_acquired() {
    assert!(me().acquired(Some("ksit-0_uid_random")));
    assert_eq!([None, Some(""), Some("ksit-0_uid_other")].map(|holder| me().acquired(holder)), [false; 3]);
}

#[test]
fn crate_is_called_for_our_own_a_vacated_or_no_lease() {
    assert_eq!(follower(Some(&held_by(me().as_str())), Some(0), 100), Action::AskCrate);
    assert_eq!(follower(None, Some(0), 100), Action::AskCrate);
    assert_eq!(follower(Some(&ElectionLease { vacated: true, ..held_by("") }), None, 100), Action::AskCrate);
}

#[test]
fn lease_of_another_expires_on_our_own_clock() {
    let theirs = held_by("another");
    assert_eq!(follower(Some(&theirs), Some(0), 109), Action::Wait(at(110)));
    assert_eq!(follower(Some(&theirs), Some(0), 110), vacate());
    assert_eq!(follower(Some(&theirs), Some(107), 110), Action::Wait(at(117)), "a full duration after an outage");
    assert_eq!(follower(Some(&theirs), None, 300), Action::Wait(at(303)));
}

#[test]
fn free_or_incomplete_lease_is_vacated_first() {
    assert_eq!(follower(Some(&held_by("")), Some(0), 100), vacate());
    assert_eq!(follower(Some(&ElectionLease { holder: None, ..held_by("") }), Some(0), 100), vacate());
    for holder in ["", "another", me().as_str()] {
        let incomplete = ElectionLease { complete: false, vacated: false, ..held_by(holder) };
        assert_eq!(follower(Some(&incomplete), Some(0), 100), vacate(), "{holder:?}");
    }
}

#[test]
fn leader_renews_in_time() {
    let ours = held_by(me().as_str());
    assert_eq!(leader(Some(&ours), 102), Action::Wait(at(103)));
    assert_eq!(leader(Some(&ours), 103), Action::AskCrate);
    assert_eq!(leader(None, 103), Action::AskCrate, "deleted: created again");
    assert_eq!(leader(Some(&held_by("")), 103), vacate());
}

#[test]
fn leader_steps_down_if_late_or_replaced() {
    assert_eq!(leader(Some(&held_by(me().as_str())), 108), Action::StepDown);
    assert_eq!(leader(Some(&held_by("another")), 101), Action::StepDown);
}

#[test]
fn later_process_of_the_same_replica_does_not_wait() {
    assert_eq!(follower(Some(&held_by("ksit-0_uid_former")), None, 100), vacate());
    assert_eq!(follower(Some(&held_by("ksit-0_other-pod_x")), None, 100), vacate());
    assert_eq!(follower(Some(&held_by("ksit-01_uid_x")), Some(0), 100), Action::Wait(at(110)));
    assert_eq!(follower(Some(&held_by("ksit-0")), Some(0), 100), Action::Wait(at(110)), "not an identity of ours");
}
