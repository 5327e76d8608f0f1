//! What is done to the world of a seed, and when.

use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;

use super::hub::Health;
use super::world::{FAULTS_END, SETTLED};

/// Times in ms; a replica by its ordinal.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// Ends at once, and is back after so long.
    Kill(usize, u64),
    Pause(usize, u64),
    /// Nothing goes to the hub or comes from it.
    Cut(usize, u64),
    /// Reports of this replica are lost; what comes back isn't.
    LoseUplink(usize, u64),
    Outage(Health, u64),
    /// Gives its Leases back, ends, and is back after so long.
    Leave(usize, u64),
    /// So many replicas are wanted.
    Scale(u32),
    /// A target has another verdict.
    Change(usize, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Anything, any time, over a network that loses and delays.
    Mixed,
    /// The API server or etcd is away for a minute, and nothing else happens.
    Outage,
    /// One replica after the other leaves and is back soon.
    Rolling,
}

impl Kind {
    pub fn of(seed: u64) -> Self {
        match seed % 4 {
            0 => Self::Outage,
            1 => Self::Rolling,
            _ => Self::Mixed,
        }
    }
}

pub fn script(kind: Kind, replicas: usize, random: &mut SmallRng) -> Vec<(u64, Fault)> {
    let mut script: Vec<(u64, Fault)> = Vec::new();
    // Things break and mend all the time.
    for _ in 0..150 {
        let at = random.random_range(0..FAULTS_END + 10_000);
        script.push((at, Fault::Change(random.random_range(0..1000), random.random_range(0..2))));
    }
    match kind {
        Kind::Outage => {
            let health = *[Health::Down, Health::WithoutEtcd].choose(random).unwrap();
            script.push((SETTLED + random.random_range(0..5_000), Fault::Outage(health, 60_000)));
        }
        Kind::Rolling => {
            for ordinal in 0..replicas {
                let at = SETTLED + 15_000 * (replicas - ordinal) as u64;
                script.push((at, Fault::Leave(ordinal, random.random_range(500..6_000))));
            }
        }
        Kind::Mixed => {
            let mut at = SETTLED;
            while at < FAULTS_END - 10_000 {
                script.push((at, any(replicas, random)));
                at += random.random_range(500..12_000);
            }
        }
    }
    script
}

fn any(replicas: usize, random: &mut SmallRng) -> Fault {
    let ordinal = random.random_range(0..replicas);
    let long = random.random_range(1_000..35_000);
    match random.random_range(0..8) {
        0 | 1 => Fault::Kill(ordinal, long),
        2 => Fault::Pause(ordinal, long),
        3 => Fault::Cut(ordinal, long),
        4 => Fault::LoseUplink(ordinal, long * 2),
        5 => Fault::Outage(if random.random_bool(0.5) { Health::Down } else { Health::WithoutEtcd }, long),
        6 => Fault::Leave(ordinal, long / 3),
        _ => Fault::Scale(random.random_range(1..=u32::try_from(replicas).unwrap())),
    }
}
