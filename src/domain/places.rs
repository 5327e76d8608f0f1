//! A bounded set of connection slots that is never full: the oldest holder is evicted for a new one.
//!
//! Unauthenticated peers may open any number of idle connections. A genuine one sends its request at once and leaves,
//! so the oldest is evicted: of the new peer if it is at its limit, else of the peer with most connections.

use std::collections::BTreeMap;

/// Holders in order of arrival. `H` is dropped when its holder is evicted.
#[derive(Debug)]
pub struct Places<P, H> {
    total: usize,
    each: usize,
    next: u64,
    held: BTreeMap<u64, (P, H)>,
}

impl<P: Ord + Clone, H> Places<P, H> {
    /// At most `total` holders, and at most `each` per peer.
    pub fn new(total: usize, each: usize) -> Self {
        Self { total: total.max(1), each: each.max(1), next: 0, held: BTreeMap::new() }
    }

    /// Adds a holder for `peer`, and returns its number for [`leave`](Self::leave).
    pub fn take(&mut self, peer: P, handle: H) -> u64 {
        if self.held.values().filter(|(other, _)| *other == peer).count() >= self.each {
            self.evict(&peer);
        } else if self.held.len() >= self.total {
            self.evict_one();
        }
        let number = self.next;
        self.next += 1;
        self.held.insert(number, (peer, handle));
        number
    }

    pub fn leave(&mut self, number: u64) {
        self.held.remove(&number);
    }

    /// Evicts the oldest holder of the peer with most holders.
    pub fn evict_one(&mut self) {
        let mut counts: BTreeMap<&P, usize> = BTreeMap::new();
        self.held.values().for_each(|(peer, _)| *counts.entry(peer).or_default() += 1);
        let most = counts.values().max().copied().unwrap_or_default();
        let greedy = self.held.values().map(|(peer, _)| peer).find(|peer| counts.get(peer) == Some(&most));
        if let Some(peer) = greedy.cloned() {
            self.evict(&peer);
        }
    }

    fn evict(&mut self, peer: &P) {
        let oldest = self.held.iter().find(|(_, (other, _))| other == peer).map(|(number, _)| *number);
        oldest.and_then(|number| self.held.remove(&number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(places: &Places<char, ()>) -> String {
        places.held.values().map(|(peer, ())| *peer).collect()
    }

    fn after(total: usize, each: usize, arrivals: &str) -> String {
        let mut places = Places::new(total, each);
        arrivals.chars().for_each(|peer| {
            places.take(peer, ());
        });
        peers(&places)
    }

    #[test]
    fn oldest_holder_of_the_greediest_peer_is_evicted() {
        assert_eq!(after(3, 3, "abc"), "abc");
        assert_eq!(after(3, 3, "abcd"), "bcd", "all have the same number: the oldest is evicted");
        assert_eq!(after(3, 3, "abbc"), "abc");
        assert_eq!(after(9, 2, "abbbbb"), "abb", "at most two per peer");
    }

    #[test]
    fn leaving_makes_room() {
        let mut places = Places::new(2, 2);
        let first = places.take('a', ());
        places.take('b', ());
        places.leave(first);
        places.take('c', ());
        assert_eq!(peers(&places), "bc");
        places.leave(first);
    }
}
