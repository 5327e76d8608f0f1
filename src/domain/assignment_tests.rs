//! Properties of every assignment.

use proptest::prelude::*;

use super::*;
use crate::domain::keys::TargetKey;
use crate::domain::plan::load_bound;
use crate::domain::slot::{Slot, SlotSet};

const MINUTE: Duration = Duration::from_secs(60);

fn replicas(ordinals: impl IntoIterator<Item = usize>) -> BTreeSet<ReplicaName> {
    ordinals.into_iter().map(|i| ReplicaName::new(format!("ksit-{i}"))).collect()
}

fn assigned(members: &BTreeSet<ReplicaName>, weights: &Weights, last: &Shards) -> Shards {
    assign(&Facts { members, weights, last, moved_for_weight: None }, Duration::ZERO).shards
}

fn first(members: &BTreeSet<ReplicaName>, weights: &Weights) -> Shards {
    assigned(members, weights, &Shards::default())
}

fn fleet(targets: usize) -> Weights {
    Weights::of((0..targets).map(|i| Slot::of(&TargetKey::new("fleet", format!("cluster-{i}")))))
}

/// Light in most slots or empty in all, with a few heavy ones; up to 100,000 targets.
fn uneven() -> impl Strategy<Value = Weights> {
    let heavy = prop::collection::vec((0..Slot::COUNT, 0..25_000u32), 0..4);
    let light = prop_oneof![3 => prop::collection::vec(0..25u32, Slot::COUNT), 1 => Just(Vec::new())];
    (light, heavy).prop_map(|(light, heavy)| {
        let mut weights = Weights::default();
        let rows = light.into_iter().enumerate().chain(heavy);
        rows.for_each(|(slot, weight)| weights.set(Slot::new(slot).unwrap(), weight));
        weights
    })
}

/// No slot is beyond a tenth of the mean, so some member always has room.
fn even() -> impl Strategy<Value = Weights> {
    prop::collection::vec(40..80u32, Slot::COUNT).prop_map(|rows| {
        let mut weights = Weights::default();
        rows.into_iter().zip(Slot::all()).for_each(|(weight, slot)| weights.set(slot, weight));
        weights
    })
}

fn members() -> impl Strategy<Value = BTreeSet<ReplicaName>> {
    prop_oneof![prop::collection::btree_set(0..20usize, 0..8), prop::collection::btree_set(0..150usize, 0..=100)]
        .prop_map(replicas)
}

/// Slots whose owner differs, with both owners.
fn moves<'a>(before: &'a Shards, after: &'a Shards) -> Vec<(Slot, &'a ReplicaName, &'a ReplicaName)> {
    let both = Slot::all().filter_map(|slot| Some((slot, before.owner(slot)?, after.owner(slot)?)));
    both.filter(|(_, old, new)| old != new).collect()
}

fn targets_in(moved: &[(Slot, &ReplicaName, &ReplicaName)], weights: &Weights) -> u64 {
    weights.of_slots(&moved.iter().map(|(slot, ..)| *slot).collect())
}

/// No member is over the cap, unless all of its slots are heavy and no better placement exists.
fn assert_bounded(shards: &Shards, weights: &Weights) {
    let members = shards.members().len().max(1);
    let bound = load_bound(weights.total(), members);
    let mean = weights.total() / members as u64;
    for (name, slots) in shards.iter() {
        let each = || slots.iter().map(|slot| u64::from(weights.get(slot)));
        let cap = bound.max(each().max().unwrap_or(0));
        let lightest = each().filter(|weight| *weight > 0).min().unwrap_or(0);
        let load = weights.of_slots(slots);
        assert!(load <= cap.max(mean + lightest), "{name}: {load} of {cap}, lightest {lightest}, mean {mean}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_slot_has_one_owner_and_owners_are_bounded(before in members(), after in members(), weights in uneven(), then in uneven()) {
        let last = first(&before, &weights);
        let next = assigned(&after, &then, &last);
        for (members, weights, shards) in [(&before, &weights, &last), (&after, &then, &next)] {
            prop_assert_eq!(shards.check(), Ok(()));
            prop_assert_eq!(&shards.members(), members);
            assert_bounded(shards, weights);
        }
    }

    #[test]
    fn assignment_is_stable(members in members(), weights in uneven()) {
        let last = first(&members, &weights);
        let again = assign(&Facts { members: &members, weights: &weights, last: &last, moved_for_weight: None }, MINUTE);
        prop_assert_eq!(again, Assignment { shards: last, change: Change::None });
    }

    #[test]
    fn assignment_is_independent_of_the_input_order(names in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(), weights in uneven()) {
        let shards = |ordinals: Vec<usize>| {
            let members = replicas(ordinals);
            let last = first(&members, &weights);
            let rows: Vec<(ReplicaName, SlotSet)> = last.iter().map(|(name, slots)| (name.clone(), slots.clone())).collect();
            let reversed = Shards::new(rows.into_iter().rev());
            let fewer = members.iter().skip(1).cloned().collect();
            format!("{:?}", assigned(&fewer, &weights, &reversed))
        };
        prop_assert_eq!(shards(names), shards((0..12).collect()));
    }

    #[test]
    fn leaving_member_moves_only_its_own_slots(count in 2..=50usize, gone in any::<prop::sample::Index>(), weights in even()) {
        let before = replicas(0..count);
        let leaver = before.iter().nth(gone.index(count)).unwrap();
        let after: BTreeSet<ReplicaName> = before.iter().filter(|name| *name != leaver).cloned().collect();
        let (last, next) = { let last = first(&before, &weights); (last.clone(), assigned(&after, &weights, &last)) };
        let moved = moves(&last, &next);
        prop_assert!(moved.iter().all(|(_, old, _)| *old == leaver));
        prop_assert!(targets_in(&moved, &weights) * 10 * count as u64 <= weights.total() * 11);
    }

    #[test]
    fn joining_member_takes_slots_and_others_only_by_the_cap(count in 1..=50usize, weights in even()) {
        let joiner = ReplicaName::new(format!("ksit-{count}"));
        let last = first(&replicas(0..count), &weights);
        let next = assigned(&replicas(0..=count), &weights, &last);
        let bound = load_bound(weights.total(), count + 1);
        for (slot, old, new) in moves(&last, &next) {
            prop_assert!(*new == joiner || weights.of_slots(&last.of(old)) > bound, "{slot}: {old} to {new}");
        }
        prop_assert!(weights.of_slots(&next.of(&joiner)) <= bound);
    }
}

#[test]
fn load_stays_within_a_tenth_of_the_mean() {
    let weights = fleet(10_000);
    let mut grown = Shards::default();
    for count in 1..=50 {
        grown = assigned(&replicas(0..count), &weights, &grown);
        for shards in [&grown, &first(&replicas(0..count), &weights)] {
            let most = shards.iter().map(|(_, slots)| weights.of_slots(slots)).max().unwrap();
            assert!(most * 10 * count as u64 <= 10_000 * 11, "{count} replicas: {most}");
        }
    }
    for count in (1..50).rev() {
        let last = grown;
        grown = assigned(&replicas(0..count), &weights, &last);
        let moved = targets_in(&moves(&last, &grown), &weights);
        assert!(moved * 10 * (count + 1) as u64 <= 10_000 * 11, "{count} replicas left: {moved} moved");
    }
}

#[test]
fn map_without_members_is_empty() {
    let weights = fleet(100);
    assert!(first(&replicas([]), &weights).is_empty());
    let last = first(&replicas(0..3), &weights);
    assert!(assigned(&replicas([]), &weights, &last).is_empty());
}

#[test]
fn slot_with_half_of_the_fleet_gets_its_own_replica() {
    for count in 3..=20 {
        let mut weights = fleet(10_000);
        let oversized = "3a0".parse().unwrap();
        weights.set(oversized, 10_000);
        let shards = first(&replicas(0..count), &weights);
        assert_eq!(weights.of_slots(&shards.of(shards.owner(oversized).unwrap())), 10_000);
        assert_bounded(&shards, &weights);
    }
}

#[test]
fn oversized_slots_get_separate_replicas() {
    let mut weights = fleet(1_000);
    [7, 8, 9].into_iter().filter_map(Slot::new).for_each(|slot| weights.set(slot, 50_000));
    let shards = first(&replicas(0..5), &weights);
    let mut loads: Vec<u64> = shards.iter().map(|(_, slots)| weights.of_slots(slots)).collect();
    loads.sort_unstable();
    assert_eq!(loads[2..], [50_000; 3]);
}

#[test]
fn weight_alone_moves_slots_once_a_minute() {
    let members = replicas(0..4);
    let last = first(&members, &fleet(1_000));
    let mut weights = fleet(1_000);
    let busy = last.of(members.first().unwrap());
    busy.iter().for_each(|slot| weights.set(slot, 40));
    let at = |moved_for_weight, now| {
        assign(&Facts { members: &members, weights: &weights, last: &last, moved_for_weight }, now)
    };
    let first_moved = Duration::from_secs(100);
    let moved = at(None, Duration::ZERO);
    assert_eq!(moved.change, Change::Weight);
    assert_bounded(&moved.shards, &weights);
    let due = first_moved + MINUTE;
    let early = at(Some(first_moved), due - Duration::from_millis(1));
    assert_eq!(early, Assignment { shards: last.clone(), change: Change::WeightLater(due) });
    assert_eq!(at(Some(first_moved), due).change, Change::Weight);
}

#[test]
fn member_change_does_not_wait_for_the_minute() {
    let weights = fleet(1_000);
    let last = first(&replicas(0..4), &weights);
    let members = replicas(0..3);
    let facts = Facts { members: &members, weights: &weights, last: &last, moved_for_weight: Some(Duration::ZERO) };
    assert_eq!(assign(&facts, Duration::from_secs(1)).change, Change::Members);
}

#[test]
fn manually_edited_map_is_repaired() {
    let members = replicas(0..3);
    let weights = fleet(1_000);
    let text = |slots: &str| slots.parse().unwrap();
    let rows = [("ksit-0", "000-1ff"), ("ksit-1", "1f0-20f"), ("ksit-9", "300-3ff")];
    let edited = Shards::new(rows.map(|(name, slots)| (ReplicaName::new(name), text(slots))));
    let repaired = assigned(&members, &weights, &edited);
    assert_eq!(repaired.check(), Ok(()));
    assert_eq!(repaired.members(), members);
    assert_bounded(&repaired, &weights);
}
