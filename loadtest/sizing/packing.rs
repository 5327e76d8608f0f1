//! Computes how evenly slots can be divided by any rule: a lower bound for the coordinator's imbalance.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use xxhash_rust::xxh3::xxh3_64;

/// Largest slot count in the table, which has every power of two from 1024.
const MOST_SLOTS: usize = 16_384;

/// Table of slot counts and the best possible max/mean of targets.
pub fn table(targets: u32, replicas: u32) -> String {
    let mut rows = format!("{targets} targets, {replicas} replicas: slots → least max/mean\n");
    let mut slots = 1024;
    while slots <= MOST_SLOTS {
        rows.push_str(&format!("  {slots:>6}  {:.3}\n", least_imbalance(targets, replicas, slots)));
        slots *= 2;
    }
    rows
}

/// Greedy packing, heaviest slot first to the least loaded replica: within 4/3 of the optimum, and here close to it.
fn least_imbalance(targets: u32, replicas: u32, slots: usize) -> f64 {
    let mut weights = vec![0_u64; slots];
    for number in 0..targets {
        weights[xxh3_64(super::fleet::name(number).as_bytes()) as usize % slots] += 1;
    }
    weights.sort_unstable_by_key(|weight| Reverse(*weight));
    let mut loads: BinaryHeap<Reverse<u64>> = (0..replicas).map(|_| Reverse(0)).collect();
    for weight in weights {
        if let Some(Reverse(load)) = loads.pop() {
            loads.push(Reverse(load + weight));
        }
    }
    let most = loads.iter().map(|Reverse(load)| *load).max().unwrap_or_default();
    most as f64 * f64::from(replicas) / f64::from(targets.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slots_divide_a_fleet_more_evenly() {
        let (few, many) = (least_imbalance(100_000, 300, 1024), least_imbalance(100_000, 300, 8192));
        assert!(few > many && many >= 1.0, "{few} {many}");
        assert!(least_imbalance(10_000, 3, 1024) < 1.01);
    }
}
