//! What must hold in every world, one file each.

mod nothing_lost;
mod one_write;
mod outages;
mod owners;
mod reports;
mod rolling;
mod terms;

use std::thread;

use super::hub::{Object, Stored};
use super::world::{Broken, World};

type Check = fn(&World) -> Result<(), String>;

const ALL: [(&str, Check); 7] = [
    ("terms", terms::check),
    ("owners", owners::check),
    ("reports", reports::check),
    ("outages", outages::check),
    ("rolling", rolling::check),
    ("one write", one_write::check),
    ("nothing lost", nothing_lost::check),
];

const SEEDS: u64 = 1_000;
const THREADS: u64 = 2;

/// Every version of the map, oldest first, with the time.
fn maps(world: &World) -> impl Iterator<Item = (u64, &Stored)> {
    world.hub.log.iter().filter_map(|(at, object)| match object {
        Object::Map(stored) => Some((*at, stored)),
        _ => None,
    })
}

/// What is violated in the world of a seed.
fn violations(seed: u64, broken: Broken) -> Vec<String> {
    let world = World::run(seed, broken);
    let found = ALL.iter().filter_map(|(name, check)| Some(format!("{name}: {}", check(&world).err()?)));
    found.map(|violation| format!("SEED={seed} ({:?}): {violation}", world.kind)).collect()
}

/// Seeds of each world that breaks a rule, until `enough` are found.
fn search(seeds: u64, broken: Broken, enough: usize) -> Vec<String> {
    let of_thread = |first: u64| {
        let mut found = Vec::new();
        for seed in (first..seeds).step_by(THREADS as usize) {
            found.extend(violations(seed, broken));
            if found.len() >= enough {
                break;
            }
        }
        found
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|first| scope.spawn(move || of_thread(first))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}

/// SEED=… replays one, and shows all that was written.
#[test]
fn all_hold_in_a_thousand_worlds() {
    if let Some(seed) = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        for (at, object) in &World::run(seed, Broken::Nothing).hub.log {
            println!("{:9.3} {object:?}", *at as f64 / 1000.0);
        }
        let found = violations(seed, Broken::Nothing);
        assert!(found.is_empty(), "{found:#?}");
        return;
    }
    let found = search(SEEDS, Broken::Nothing, 3);
    assert!(found.is_empty(), "{} violations, the first: {:#?}", found.len(), &found[..found.len().min(5)]);
}

/// The worlds are as wild as they are meant to be: terms end, members come and go, statuses are written.
#[test]
fn much_happens_in_a_world() {
    let (mut terms, mut versions, mut statuses) = (0, 0, 0);
    for world in (0..40).map(|seed| World::run(seed, Broken::Nothing)) {
        terms += world.hub.map.as_ref().map_or(0, |stored| stored.map.term.0);
        versions += maps(&world).count();
        statuses += world.hub.log.iter().filter(|(_, object)| matches!(object, Object::Status(..))).count();
    }
    assert!(terms > 100 && versions > 300 && statuses > 2_000, "{terms} terms, {versions} maps, {statuses} statuses");
}

/// Some world of the first few shows that the rule is missing, by that invariant.
fn assert_found(broken: Broken, invariant: &str) {
    let found = search(SEEDS, broken, 1);
    let by_invariant = found.iter().filter(|violation| violation.contains(&format!(": {invariant}: "))).count();
    assert!(by_invariant > 0, "{broken:?} is not found by {invariant}: {found:#?}");
}
