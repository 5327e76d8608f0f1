//! A fleet generated from a seed, and its coordinator's decisions while members come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use ksit::api::convert::shard_map_spec;
use ksit::domain::assignment::{Change, Facts, assign};
use ksit::domain::keys::TargetKey;
use ksit::domain::replica::{Incarnation, ReplicaName, Term};
use ksit::domain::shard_map::{Contact, PublishedMap, ShardMap};
use ksit::domain::shards::Shards;
use ksit::domain::slot::Slot;
use ksit::domain::weights::Weights;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::json;

use super::exchange;

/// Time between membership changes.
const PAUSE: Duration = Duration::from_secs(120);

/// Namespace and name of a target.
pub fn name(number: u32) -> String {
    format!("fleet/cluster-{number:06}")
}

pub struct Fleet {
    random: StdRng,
    targets: Vec<TargetKey>,
    weights: Weights,
    replicas: u32,
    members: BTreeMap<ReplicaName, Incarnation>,
    map: ShardMap,
    moved_for_weight: Option<Duration>,
    now: Duration,
    figures: Figures,
}

/// Measured results.
#[derive(Default)]
pub struct Figures {
    targets: u32,
    replicas: u32,
    /// Duration of each assignment, in order.
    took: Vec<Duration>,
    /// Size of the map as JSON.
    map_bytes: usize,
    /// Targets of the most loaded replica divided by the mean.
    imbalance: f64,
    deaths: u32,
    /// Targets moved by a death, divided by the mean number of targets per replica.
    moved_by_death: f64,
    /// Map writes caused by membership changes.
    writes: u32,
    changes: u32,
    digests: Duration,
    digest_bytes: usize,
}

impl Fleet {
    /// `seed` decides which replica dies when.
    pub fn new(targets: u32, replicas: u32, seed: u64) -> Self {
        let key = |number| {
            let name = name(number);
            let (namespace, name) = name.split_once('/').unwrap_or_default();
            TargetKey::new(namespace, name)
        };
        let keys: Vec<TargetKey> = (0..targets).map(key).collect();
        Self {
            random: StdRng::seed_from_u64(seed),
            weights: Weights::of(keys.iter().map(Slot::of)),
            targets: keys,
            replicas,
            members: BTreeMap::new(),
            map: ShardMap { term: Term(1), ..ShardMap::default() },
            moved_for_weight: None,
            now: Duration::ZERO,
            figures: Figures { targets, replicas, ..Figures::default() },
        }
    }

    /// Computes the first map, then applies `changes` membership changes: half are deaths, each followed by a join.
    pub fn live(mut self, changes: u32) -> Figures {
        for ordinal in 0..self.replicas {
            self.join(ordinal);
        }
        self.decide();
        (self.figures.writes, self.figures.imbalance) = (0, self.imbalance());
        for _ in 0..changes / 2 {
            self.death_and_return();
        }
        let (took, bytes) = exchange::compare(&self.targets, &self.map);
        (self.figures.digests, self.figures.digest_bytes) = (took, bytes);
        self.figures.map_bytes = self.map_bytes();
        self.figures
    }

    fn join(&mut self, ordinal: u32) {
        let nonce = format!("{:032x}", self.random.random::<u128>());
        let pod = format!("{:036x}", self.random.random::<u128>());
        let process = Incarnation::new(format!("ksit-{ordinal}"), pod, nonce);
        self.members.insert(process.name.clone(), process);
    }

    fn death_and_return(&mut self) {
        let names: Vec<ReplicaName> = self.members.keys().cloned().collect();
        let Some(victim) = names.choose(&mut self.random).filter(|_| names.len() > 1) else { return };
        self.members.remove(victim);
        self.figures.deaths += 1;
        let moved = self.decide();
        let mean = f64::from(self.figures.targets) / f64::from(self.replicas);
        self.figures.moved_by_death = self.figures.moved_by_death.max(moved as f64 / mean.max(1.0));
        self.figures.imbalance = self.figures.imbalance.max(self.imbalance());
        self.join(victim.ordinal().unwrap_or_default());
        self.decide();
        self.figures.imbalance = self.figures.imbalance.max(self.imbalance());
    }

    /// Publishes a map for the current members and returns the number of targets it moves.
    fn decide(&mut self) -> u64 {
        self.now += PAUSE;
        self.figures.changes += 1;
        let members: BTreeSet<ReplicaName> = self.members.keys().cloned().collect();
        let facts = Facts {
            members: &members,
            weights: &self.weights,
            last: &self.map.shards,
            moved_for_weight: self.moved_for_weight,
        };
        let began = Instant::now();
        let assignment = assign(&facts, self.now);
        self.figures.took.push(began.elapsed());
        if assignment.change == Change::Weight {
            self.moved_for_weight = Some(self.now);
        }
        let moved = moved(&self.map.shards, &assignment.shards, &self.weights);
        if let Some(next) = self.map.next(self.map.term, self.members.clone(), assignment.shards) {
            self.map = next;
            self.figures.writes += 1;
        }
        moved
    }

    fn imbalance(&self) -> f64 {
        let loads = self.map.shards.iter().map(|(_, slots)| self.weights.of_slots(slots));
        let mean = f64::from(self.figures.targets) / self.members.len().max(1) as f64;
        loads.max().unwrap_or_default() as f64 / mean.max(1.0)
    }

    /// Size of the map as stored on the hub.
    fn map_bytes(&self) -> usize {
        let Some(coordinator) = self.members.values().next().cloned() else { return 0 };
        let contact = Contact { address: "10.128.200.200:8443".to_owned(), certificate_sha256: "0".repeat(64) };
        let published = PublishedMap { map: self.map.clone(), coordinator, contact: Some(contact) };
        serde_json::to_vec(&shard_map_spec(&published)).map(|bytes| bytes.len()).unwrap_or_default()
    }
}

fn moved(before: &Shards, after: &Shards, weights: &Weights) -> u64 {
    let moved = |slot: &Slot| before.owner(*slot) != after.owner(*slot);
    Slot::all().filter(moved).map(|slot| u64::from(weights.get(slot))).sum()
}

impl Figures {
    fn took(&self, share: f64) -> f64 {
        let mut took = self.took.clone();
        took.sort_unstable();
        let last = took.len().saturating_sub(1);
        took.get((last as f64 * share) as usize).map_or(0.0, |took| took.as_secs_f64() * 1e3)
    }

    pub fn json(&self) -> serde_json::Value {
        json!({
            "targets": self.targets,
            "replicas": self.replicas,
            "assignmentMillisecondsMedian": self.took(0.5),
            "assignmentMillisecondsMaximum": self.took(1.0),
            "mapBytes": self.map_bytes,
            "maxByMean": self.imbalance,
            "deaths": self.deaths,
            "movedByDeathPerShard": self.moved_by_death,
            "membershipChanges": self.changes - 1,
            "mapWrites": self.writes,
            "digestBytes": self.digest_bytes,
            "digestComparisonMilliseconds": self.digests.as_secs_f64() * 1e3,
        })
    }

    /// As Markdown.
    pub fn table(all: &[Self]) -> String {
        let mut text =
            "| targets | replicas | assignment, median and max | map | max/mean | moved by a death, in shards \
                        | map writes per change | digests | compared in |\n|---|---|---|---|---|---|---|---|---|\n"
                .to_owned();
        for one in all {
            text.push_str(&format!(
                "| {} | {} | {:.1} and {:.1} ms | {:.1} KiB | {:.2} | {:.2} | {:.2} | {:.0} KiB | {:.0} ms |\n",
                one.targets,
                one.replicas,
                one.took(0.5),
                one.took(1.0),
                one.map_bytes as f64 / 1024.0,
                one.imbalance,
                one.moved_by_death,
                f64::from(one.writes) / f64::from((one.changes - 1).max(1)),
                one.digest_bytes as f64 / 1024.0,
                one.digests.as_secs_f64() * 1e3,
            ));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_decisions_and_one_write_per_change() {
        let run = || Fleet::new(5_000, 5, 7).live(20);
        let (first, again) = (run(), run());
        assert_eq!((first.moved_by_death, first.imbalance), (again.moved_by_death, again.imbalance));
        assert_eq!((first.writes, first.changes), (20, 21));
        assert!(
            first.imbalance <= 1.101 && first.moved_by_death <= 1.2,
            "{} {}",
            first.imbalance,
            first.moved_by_death
        );
    }
}
