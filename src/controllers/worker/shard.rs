//! Which part of the fleet is this replica's, by what the map says.

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::domain::replica::{Epoch, Incarnation};
use crate::domain::slot::SlotSet;
use crate::hub::StoredMap;

/// The part of the fleet that this replica looks after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    pub slots: SlotSet,
    /// Of the map that says so. 0: none has named this process yet. Then the slots are those of the process before it,
    /// which it will most likely get: what it sees of them is believed when it has.
    pub epoch: Epoch,
}

impl Shard {
    pub fn is_named(&self) -> bool {
        self.epoch != Epoch::default()
    }
}

/// Tells what the map says of this replica; while it can't be read the last one holds.
pub async fn follow_map(
    mut stored: BoxStream<'static, Option<StoredMap>>,
    me: Incarnation,
    map: watch::Sender<Option<StoredMap>>,
    shard: watch::Sender<Shard>,
) {
    let mut was_named = false;
    while let Some(seen) = stored.next().await {
        if let Some(StoredMap { published, .. }) = &seen {
            match published.map.check() {
                Ok(()) if published.map.members.is_empty() => {}
                Ok(()) => {
                    was_named |= published.map.names(&me);
                    let now = match was_named {
                        true => Shard { slots: published.map.slots_of(&me), epoch: published.map.epoch },
                        false => Shard { slots: published.map.shards.of(&me.name), epoch: Epoch::default() },
                    };
                    shard.send_if_modified(|known| {
                        let changed = *known != now;
                        *known = now;
                        changed
                    });
                }
                Err(error) => tracing::warn!(%error, "the ShardMap makes no sense; keeping to the last one"),
            }
        }
        map.send_replace(seen);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;
    use crate::domain::replica::Term;
    use crate::domain::shard_map::{PublishedMap, ShardMap};
    use crate::domain::shards::Shards;

    fn process(name: &str, nonce: &str) -> Incarnation {
        Incarnation::new(name, "uid", nonce)
    }

    /// Two replicas, the first of which has `slots` and is that process.
    fn map(epoch: i64, first: &Incarnation, slots: &str, second: &str) -> StoredMap {
        let other = process("ksit-1", "1");
        let rows = [(first.name.clone(), slots.parse().unwrap()), (other.name.clone(), second.parse().unwrap())];
        let map = ShardMap {
            term: Term(1),
            epoch: Epoch(epoch),
            members: [first, &other].map(|member| (member.name.clone(), member.clone())).into(),
            shards: Shards::new(rows),
        };
        let published = PublishedMap { map, coordinator: other, contact: None };
        StoredMap { published, metadata: Default::default() }
    }

    async fn shard_after(maps: &[StoredMap], me: &Incarnation) -> Shard {
        let (map, _map_seen) = watch::channel(None);
        let (shard, shard_seen) = watch::channel(Shard::default());
        let maps: Vec<Option<StoredMap>> = maps.iter().cloned().map(Some).collect();
        follow_map(stream::iter(maps).boxed(), me.clone(), map, shard).await;
        shard_seen.borrow().clone()
    }

    #[tokio::test]
    async fn a_replica_that_starts_again_begins_with_what_it_had() {
        let (before, me) = (process("ksit-0", "a"), process("ksit-0", "b"));
        let had = |epoch| map(epoch, &before, "000-1ff", "200-3ff");
        let shard = shard_after(&[had(7), had(8)], &me).await;
        assert_eq!(shard, Shard { slots: "000-1ff".parse().unwrap(), epoch: Epoch(0) });
        assert!(!shard.is_named());

        let shard = shard_after(&[had(7), map(8, &me, "000-0ff", "100-3ff")], &me).await;
        assert_eq!(shard, Shard { slots: "000-0ff".parse().unwrap(), epoch: Epoch(8) });
    }

    #[tokio::test]
    async fn what_another_process_of_the_name_has_later_is_not_this_ones() {
        let (after, me) = (process("ksit-0", "b"), process("ksit-0", "a"));
        let shard = shard_after(&[map(7, &me, "000-1ff", "200-3ff"), map(8, &after, "000-1ff", "200-3ff")], &me).await;
        assert_eq!(shard, Shard { slots: SlotSet::default(), epoch: Epoch(8) });
    }
}
