//! Tests of members that join, fall silent, leave and return.

use super::*;
use crate::domain::member::Timing;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn name(ordinal: u32) -> ReplicaName {
    ReplicaName::new(format!("ksit-{ordinal}"))
}

fn process(ordinal: u32) -> Incarnation {
    Incarnation::new(format!("ksit-{ordinal}"), "uid", "nonce")
}

/// `ksit-0` is the coordinator.
struct World {
    me: ReplicaName,
    leases: BTreeMap<ReplicaName, MemberLease>,
    last: BTreeMap<ReplicaName, Incarnation>,
    wanted: Option<u32>,
    writes_since: Option<Duration>,
    changed: Option<Duration>,
}

impl World {
    /// A world of live members, heard at 100 s.
    fn of(count: u32) -> Self {
        let lease = |ordinal| MemberLease {
            holder: Holder::Process(process(ordinal)),
            resource_version: format!("rv-{ordinal}"),
            changed: at(100),
            held_since: at(0),
            heard: Some(at(100)),
        };
        Self {
            me: name(0),
            leases: (0..count).map(|ordinal| (name(ordinal), lease(ordinal))).collect(),
            last: (0..count).map(|ordinal| (name(ordinal), process(ordinal))).collect(),
            wanted: Some(count),
            writes_since: Some(at(0)),
            changed: None,
        }
    }

    fn lease(&mut self, ordinal: u32) -> &mut MemberLease {
        self.leases.get_mut(&name(ordinal)).unwrap()
    }

    fn renew_all_but(&mut self, silent: &[u32], now: Duration) {
        let silent: Vec<ReplicaName> = silent.iter().copied().map(name).collect();
        self.leases.iter_mut().filter(|(name, _)| !silent.contains(name)).for_each(|(_, lease)| lease.changed = now);
    }

    fn hold(&mut self, ordinal: u32, holder: Holder, now: Duration) {
        let lease = self.lease(ordinal);
        (lease.holder, lease.changed, lease.held_since) = (holder, now, now);
    }

    fn decide(&self, now: Duration) -> Decision {
        let observer =
            Observer { timing: Timing::default(), writes_since: self.writes_since, term_since: Duration::ZERO };
        let Self { me, leases, last, wanted, changed, .. } = self;
        Membership { me, observer, leases, last, wanted: *wanted, changed: *changed }.decide(now)
    }

    fn owners(&self, now: Duration) -> Option<Vec<u32>> {
        self.decide(now).members.map(|members| members.keys().filter_map(ReplicaName::ordinal).collect())
    }
}

fn take(ordinal: u32) -> Command {
    Command::TakeLease { name: name(ordinal), resource_version: format!("rv-{ordinal}") }
}

#[test]
fn silent_member_keeps_its_slots_until_its_lease_is_taken() {
    let mut world = World::of(3);
    world.renew_all_but(&[2], at(109));
    assert_eq!(world.decide(at(109)).commands, []);
    assert_eq!(world.decide(at(109)).next_check, Some(at(110)));
    assert_eq!(world.decide(at(110)).commands, [take(2)]);
    assert_eq!(world.decide(at(110)).next_check, Some(at(111)));
    assert_eq!(world.owners(at(110)), Some(vec![0, 1, 2]));
    world.hold(2, Holder::Taken, at(110));
    assert_eq!(world.decide(at(110)).commands, []);
    assert_eq!(world.owners(at(110)), Some(vec![0, 1]));
}

#[test]
fn hub_outage_expires_no_member() {
    let mut world = World::of(3);
    world.writes_since = None;
    let away = world.decide(at(160));
    assert_eq!((away.commands, away.members), (vec![], Some(world.last.clone())));
    world.writes_since = Some(at(160));
    assert_eq!(world.decide(at(169)).commands, []);
    world.renew_all_but(&[2], at(169));
    assert_eq!(world.decide(at(170)).commands, [take(2)]);
}

#[test]
fn coordinator_never_takes_its_own_lease() {
    let mut world = World::of(3);
    world.renew_all_but(&[0], at(150));
    assert_eq!(world.decide(at(150)).commands, []);
}

#[test]
fn restarting_member_keeps_its_slots_during_the_grace_period() {
    let mut world = World::of(3);
    world.hold(1, Holder::Nobody, at(100));
    world.renew_all_but(&[1], at(109));
    assert_eq!(world.owners(at(109)), Some(vec![0, 1, 2]));
    assert_eq!(world.decide(at(109)).next_check, Some(at(110)));
    world.renew_all_but(&[1], at(110));
    assert_eq!(world.owners(at(110)), Some(vec![0, 2]));
}

#[test]
fn scale_down_moves_slots_at_once() {
    let mut world = World::of(3);
    world.hold(2, Holder::Nobody, at(100));
    world.wanted = Some(2);
    assert_eq!(world.owners(at(100)), Some(vec![0, 1]));
    world.wanted = None;
    assert_eq!(world.owners(at(100)), Some(vec![0, 1]), "without a StatefulSet there is no grace period");
}

#[test]
fn new_process_of_a_replica_replaces_the_old_one() {
    let mut world = World::of(3);
    let reborn = Incarnation::new("ksit-1", "another uid", "another nonce");
    world.hold(1, Holder::Process(reborn.clone()), at(105));
    let members = world.decide(at(105)).members.unwrap();
    assert_eq!((members.len(), &members[&name(1)]), (3, &reborn));
}

#[test]
fn deaf_member_loses_its_slots_until_it_is_heard_again() {
    let mut world = World::of(3);
    world.renew_all_but(&[], at(190));
    world.lease(2).heard = Some(at(180));
    assert_eq!(world.owners(at(190)), Some(vec![0, 2]));
    world.lease(1).heard = Some(at(190));
    assert_eq!(world.owners(at(190)), Some(vec![0, 1, 2]));
}

#[test]
fn coordinator_without_any_heartbeat_steps_down() {
    let mut world = World::of(3);
    world.renew_all_but(&[], at(190));
    let decision = world.decide(at(190));
    assert_eq!((decision.commands, decision.members), (vec![Command::StepDown], None));
    let mut pair = World::of(2);
    pair.renew_all_but(&[], at(190));
    assert_eq!(pair.owners(at(190)), Some(vec![0]), "a single other member may itself be at fault");
}

#[test]
fn first_death_is_handled_at_once_and_later_ones_batched() {
    let mut world = World::of(5);
    world.hold(4, Holder::Taken, at(100));
    assert_eq!(world.owners(at(100)), Some(vec![0, 1, 2, 3]));
    world.last.remove(&name(4));
    world.changed = Some(at(100));
    world.hold(3, Holder::Taken, at(100));
    world.hold(2, Holder::Taken, at(100));
    let gathering = world.decide(at(100) + Duration::from_millis(500));
    assert_eq!((gathering.members, gathering.next_check), (None, Some(at(101))));
    assert_eq!(world.owners(at(101)), Some(vec![0, 1]));
}

#[test]
fn first_map_waits_for_the_stateful_set_replicas() {
    let mut world = World::of(3);
    world.last.clear();
    let third = world.leases.remove(&name(2)).unwrap();
    world.renew_all_but(&[], at(4));
    let waiting = world.decide(at(4));
    assert_eq!((waiting.members, waiting.next_check), (None, Some(at(10))));
    assert_eq!(world.owners(at(10)), Some(vec![0, 1]), "one duration at most");
    world.leases.insert(name(2), third);
    assert_eq!(world.owners(at(4)), Some(vec![0, 1, 2]));
}

#[test]
fn expired_lease_of_a_non_member_is_ignored() {
    let mut world = World::of(3);
    world.last.remove(&name(2));
    world.renew_all_but(&[2], at(150));
    world.leases.values_mut().for_each(|lease| lease.heard = Some(at(150)));
    assert_eq!(world.owners(at(150)), Some(vec![0, 1]));
}
