//! The map that claims a term.

use crate::domain::claim::{first_epoch, next_term};
use crate::domain::replica::{Epoch, Term};
use crate::domain::shard_map::ShardMap;

/// Terms and report epochs that statuses on the hub show.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// `coordinatorTerm` of statuses, in any order.
    pub terms: Vec<Term>,
    /// `reportEpoch` of statuses, in any order.
    pub epochs: Vec<Epoch>,
}

impl Shown {
    /// The map to write over `last`: its term is above each that is shown, its members and shards are those of `last`.
    pub fn claim(&self, last: Option<&ShardMap>) -> ShardMap {
        let term = next_term(last.map(|map| map.term), self.terms.iter().copied());
        let epoch = last.map_or_else(|| first_epoch(self.epochs.iter().copied()), |map| map.epoch.next());
        ShardMap { term, epoch, ..last.cloned().unwrap_or_default() }
    }
}
