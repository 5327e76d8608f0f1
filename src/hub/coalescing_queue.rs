//! A queue that can't grow: of several messages for one address only the newest is kept.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::domain::priority::Priority;

/// Whose turn it is, again and again: the most urgent come first, and thousands of one sort don't keep a few of
/// another waiting. Where there is none of that sort, it is the next one's turn. (In strict order, 1 % of what others
/// had to say waited for 2.8 s and more while 550 clusters of 10,000 became unreachable.)
const ROTATION: [Priority; 7] = [
    Priority::Failing,
    Priority::CanWait,
    Priority::Failing,
    Priority::Unreachable,
    Priority::Summary,
    Priority::CanWait,
    Priority::Detail,
];

/// Newest-wins by key; urgent ones are handed out first, each sort in the order of its first arrival.
#[derive(Debug)]
pub struct CoalescingQueue<K, V> {
    inner: Mutex<Inner<K, V>>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner<K, V> {
    entries: BTreeMap<K, (Place, V)>,
    order: BTreeMap<Place, K>,
    arrivals: u64,
    taken: usize,
    superseded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    priority: Priority,
    /// No two have the same.
    arrival: u64,
}

impl<K, V> Default for CoalescingQueue<K, V> {
    fn default() -> Self {
        let inner = Inner { entries: BTreeMap::new(), order: BTreeMap::new(), arrivals: 0, taken: 0, superseded: 0 };
        Self { inner: Mutex::new(inner), filled: Notify::new() }
    }
}

impl<K: Ord + Clone, V> CoalescingQueue<K, V> {
    /// Puts `value` in; one that waits under the same key is dropped, and its place in the queue is kept.
    pub fn enqueue(&self, key: K, value: V, priority: Priority) {
        self.enqueue_with(key, priority, |_| value);
    }

    /// The same with a value that is made of the one that waits under the key.
    pub fn enqueue_with(&self, key: K, priority: Priority, make: impl FnOnce(Option<V>) -> V) {
        {
            let mut inner = self.lock();
            let arrival = inner.arrivals;
            inner.arrivals += 1;
            let mut place = Place { priority, arrival };
            let waiting = inner.entries.remove(&key).map(|(former, value)| {
                inner.order.remove(&former);
                inner.superseded += 1;
                place = Place { priority: priority.min(former.priority), arrival: former.arrival };
                value
            });
            inner.order.insert(place, key.clone());
            inner.entries.insert(key, (place, make(waiting)));
        }
        self.filled.notify_one();
    }

    /// As [`CoalescingQueue::post`], unless something newer waits already.
    pub fn requeue(&self, key: K, value: V, priority: Priority) {
        if !self.lock().entries.contains_key(&key) {
            self.enqueue(key, value, priority);
        }
    }

    /// The next one; waits while there is none. For one consumer.
    pub async fn dequeue(&self) -> (K, V) {
        self.dequeue_where(|_| true).await
    }

    /// The next one of these priorities.
    pub async fn dequeue_where(&self, priorities: impl Fn(Priority) -> bool) -> (K, V) {
        loop {
            let waiting = self.filled.notified();
            if let Some(entry) = self.try_dequeue_where(&priorities) {
                return entry;
            }
            waiting.await;
        }
    }

    pub fn try_dequeue(&self) -> Option<(K, V)> {
        self.try_dequeue_where(|_| true)
    }

    fn try_dequeue_where(&self, priorities: impl Fn(Priority) -> bool) -> Option<(K, V)> {
        let mut inner = self.lock();
        let place = {
            let first = |priority| Place { priority, arrival: 0 }..=Place { priority, arrival: u64::MAX };
            let turns = ROTATION.into_iter().cycle().skip(inner.taken % ROTATION.len()).take(ROTATION.len());
            *turns.filter(|sort| priorities(*sort)).find_map(|sort| inner.order.range(first(sort)).next())?.0
        };
        inner.taken += 1;
        let key = inner.order.remove(&place)?;
        let (_, value) = inner.entries.remove(&key)?;
        Some((key, value))
    }

    /// Throws away what waits.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.entries.clear();
        inner.order.clear();
    }

    pub fn len(&self) -> usize {
        self.lock().entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Messages that a newer one replaced before they were taken.
    pub fn superseded(&self) -> u64 {
        self.lock().superseded
    }

    /// A panic while the lock was held can't leave the maps half-changed in a way that matters: go on.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner<K, V>> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::priority::Priority::{CanWait, Detail, Failing, Summary, Unreachable};

    #[tokio::test]
    async fn the_newest_wins_and_keeps_the_place_of_the_first() {
        let queue = CoalescingQueue::default();
        queue.enqueue("a", 1, CanWait);
        queue.enqueue("b", 2, CanWait);
        queue.enqueue("a", 3, CanWait);
        assert_eq!([queue.dequeue().await, queue.dequeue().await], [("a", 3), ("b", 2)]);
        assert_eq!((queue.superseded(), queue.len()), (1, 0));
    }

    #[tokio::test]
    async fn urgent_ones_come_first() {
        let queue = CoalescingQueue::default();
        queue.enqueue("idle", 1, CanWait);
        queue.enqueue("broken", 2, Failing);
        assert_eq!(queue.dequeue().await.0, "broken");
    }

    #[test]
    fn thousands_of_one_sort_keep_none_of_another_waiting() {
        for flood in [Failing, Unreachable, CanWait, Detail] {
            let queue = CoalescingQueue::default();
            (0..1_000).for_each(|key| queue.enqueue(key, (), flood));
            let few = [Failing, Unreachable, CanWait].into_iter().filter(|priority| *priority != flood);
            (1_000..).zip(few).for_each(|(key, priority)| queue.enqueue(key, (), priority));
            let first: Vec<i32> = (0..4).map(|_| queue.try_dequeue().unwrap().0).collect();
            assert!(first.contains(&1_000) && first.contains(&1_001), "{flood:?}: {first:?}");
        }
    }

    #[test]
    fn a_summary_has_its_turn_among_thousands() {
        let queue = CoalescingQueue::default();
        (0..3_000).for_each(|key| queue.enqueue(key, (), [Failing, Unreachable, CanWait][key % 3]));
        queue.enqueue(3_000, (), Summary);
        let first: Vec<usize> = (0..5).map(|_| queue.try_dequeue().unwrap().0).collect();
        assert!(first.contains(&3_000), "{first:?}");
    }

    #[tokio::test]
    async fn a_sort_that_is_not_asked_for_waits() {
        let queue = CoalescingQueue::default();
        queue.enqueue("gone", 1, Unreachable);
        queue.enqueue("mended", 2, CanWait);
        let others = |priority| priority != Unreachable;
        assert_eq!(queue.dequeue_where(others).await.0, "mended");
        assert!(queue.try_dequeue_where(others).is_none());
        assert_eq!(queue.dequeue().await.0, "gone");
    }

    #[tokio::test]
    async fn what_is_given_back_yields_to_what_is_newer() {
        let queue = CoalescingQueue::default();
        queue.enqueue("a", 2, CanWait);
        queue.requeue("a", 1, Failing);
        assert_eq!(queue.try_dequeue(), Some(("a", 2)));
        assert_eq!(queue.try_dequeue(), None);
    }

    #[tokio::test]
    async fn a_waiting_consumer_wakes() {
        let queue = std::sync::Arc::new(CoalescingQueue::default());
        let taking = {
            let queue = queue.clone();
            async move { queue.dequeue().await }
        };
        let posting = async { queue.enqueue("a", 1, CanWait) };
        assert_eq!(tokio::join!(taking, posting).0, ("a", 1));
    }
}
