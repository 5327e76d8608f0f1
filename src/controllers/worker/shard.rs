//! Derives this replica's shard from the ShardMap.

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::watch;

use crate::domain::replica::{Epoch, Incarnation};
use crate::domain::slot::SlotSet;
use crate::hub::StoredMap;

/// The part of the fleet that this replica owns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard {
    pub slots: SlotSet,
    /// Epoch of the map that assigns the slots. 0: no map lists this process yet. The slots are then those of its
    /// predecessor of the same name, which it will most likely get; its reports count once it has them.
    pub epoch: Epoch,
}

impl Shard {
    pub fn is_assigned(&self) -> bool {
        self.epoch != Epoch::default()
    }
}

/// Publishes this replica's shard for each valid map; while the map can't be read or is invalid, the last one holds.
pub async fn follow_map(
    mut stored: BoxStream<'static, Option<StoredMap>>,
    me: Incarnation,
    map: watch::Sender<Option<StoredMap>>,
    shard: watch::Sender<Shard>,
) {
    let mut was_assigned = false;
    while let Some(map_update) = stored.next().await {
        if let Some(StoredMap { published, .. }) = &map_update {
            match published.map.check() {
                Ok(()) if published.map.members.is_empty() => {}
                Ok(()) => {
                    was_assigned |= published.map.names(&me);
                    let now = match was_assigned {
                        true => Shard { slots: published.map.slots_of(&me), epoch: published.map.epoch },
                        false => Shard { slots: published.map.shards.of(&me.name), epoch: Epoch::default() },
                    };
                    shard.send_if_modified(|known| {
                        let changed = *known != now;
                        *known = now;
                        changed
                    });
                }
                Err(error) => tracing::warn!(%error, "invalid ShardMap; keeping the previous one"),
            }
        }
        map.send_replace(map_update);
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

    /// A map of two replicas: `first` with `slots`, and `ksit-1` with `second`.
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
    async fn restarted_replica_starts_with_its_previous_slots() {
        let (before, me) = (process("ksit-0", "a"), process("ksit-0", "b"));
        let had = |epoch| map(epoch, &before, "000-1ff", "200-3ff");
        let shard = shard_after(&[had(7), had(8)], &me).await;
        assert_eq!(shard, Shard { slots: "000-1ff".parse().unwrap(), epoch: Epoch(0) });
        assert!(!shard.is_assigned());

        let shard = shard_after(&[had(7), map(8, &me, "000-0ff", "100-3ff")], &me).await;
        assert_eq!(shard, Shard { slots: "000-0ff".parse().unwrap(), epoch: Epoch(8) });
    }

    #[tokio::test]
    async fn later_process_of_the_same_name_takes_the_slots() {
        let (after, me) = (process("ksit-0", "b"), process("ksit-0", "a"));
        let shard = shard_after(&[map(7, &me, "000-1ff", "200-3ff"), map(8, &after, "000-1ff", "200-3ff")], &me).await;
        assert_eq!(shard, Shard { slots: SlotSet::default(), epoch: Epoch(8) });
    }
}
