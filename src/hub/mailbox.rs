//! A queue that can't grow: of several messages for one address only the newest is kept.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::Notify;

use crate::domain::verdict::{Phase, Reach, TargetVerdict};

/// How soon a message is handed out while others wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Something fails.
    Failing,
    /// Nothing can be read of a cluster. When a network goes, that is said of thousands.
    Unreachable,
    CanWait,
    /// More is known of a cluster, and its phase stays.
    Detail,
    /// What an Integration's clusters come to. A hundred of them are named in it, so that the hub takes as long for it as
    /// for several of theirs.
    Summary,
}

impl Urgency {
    pub fn of(verdict: &TargetVerdict) -> Self {
        match &verdict.reach {
            Reach::Failed(_) => Self::Unreachable,
            _ if verdict.phase() == Phase::Failed => Self::Failing,
            _ => Self::CanWait,
        }
    }
}

/// Whose turn it is, again and again: the most urgent come first, and thousands of one sort don't keep a few of
/// another waiting. Where there is none of that sort, it is the next one's turn. (In strict order, 1 % of what others
/// had to say waited for 2.8 s and more while 550 clusters of 10,000 became unreachable.)
const TURNS: [Urgency; 7] = [
    Urgency::Failing,
    Urgency::CanWait,
    Urgency::Failing,
    Urgency::Unreachable,
    Urgency::Summary,
    Urgency::CanWait,
    Urgency::Detail,
];

/// Newest-wins by key; urgent ones are handed out first, each sort in the order of its first arrival.
#[derive(Debug)]
pub struct Mailbox<K, V> {
    inner: Mutex<Inner<K, V>>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner<K, V> {
    letters: BTreeMap<K, (Place, V)>,
    order: BTreeMap<Place, K>,
    arrivals: u64,
    taken: usize,
    superseded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    urgency: Urgency,
    /// No two have the same.
    arrival: u64,
}

impl<K, V> Default for Mailbox<K, V> {
    fn default() -> Self {
        let inner = Inner { letters: BTreeMap::new(), order: BTreeMap::new(), arrivals: 0, taken: 0, superseded: 0 };
        Self { inner: Mutex::new(inner), filled: Notify::new() }
    }
}

impl<K: Ord + Clone, V> Mailbox<K, V> {
    /// Puts `value` in; one that waits under the same key is dropped, and its place in the queue is kept.
    pub fn post(&self, key: K, value: V, urgency: Urgency) {
        self.post_with(key, urgency, |_| value);
    }

    /// The same with a value that is made of the one that waits under the key.
    pub fn post_with(&self, key: K, urgency: Urgency, make: impl FnOnce(Option<V>) -> V) {
        {
            let mut inner = self.lock();
            let arrival = inner.arrivals;
            inner.arrivals += 1;
            let mut place = Place { urgency, arrival };
            let waiting = inner.letters.remove(&key).map(|(former, value)| {
                inner.order.remove(&former);
                inner.superseded += 1;
                place = Place { urgency: urgency.min(former.urgency), arrival: former.arrival };
                value
            });
            inner.order.insert(place, key.clone());
            inner.letters.insert(key, (place, make(waiting)));
        }
        self.filled.notify_one();
    }

    /// As [`Mailbox::post`], unless something newer waits already.
    pub fn give_back(&self, key: K, value: V, urgency: Urgency) {
        if !self.lock().letters.contains_key(&key) {
            self.post(key, value, urgency);
        }
    }

    /// The next one; waits while there is none. For one consumer.
    pub async fn take(&self) -> (K, V) {
        self.take_of(|_| true).await
    }

    /// The next one of these sorts.
    pub async fn take_of(&self, sorts: impl Fn(Urgency) -> bool) -> (K, V) {
        loop {
            let waiting = self.filled.notified();
            if let Some(letter) = self.try_take_of(&sorts) {
                return letter;
            }
            waiting.await;
        }
    }

    pub fn try_take(&self) -> Option<(K, V)> {
        self.try_take_of(|_| true)
    }

    fn try_take_of(&self, sorts: impl Fn(Urgency) -> bool) -> Option<(K, V)> {
        let mut inner = self.lock();
        let place = {
            let first = |urgency| Place { urgency, arrival: 0 }..=Place { urgency, arrival: u64::MAX };
            let turns = TURNS.into_iter().cycle().skip(inner.taken % TURNS.len()).take(TURNS.len());
            *turns.filter(|sort| sorts(*sort)).find_map(|sort| inner.order.range(first(sort)).next())?.0
        };
        inner.taken += 1;
        let key = inner.order.remove(&place)?;
        let (_, value) = inner.letters.remove(&key)?;
        Some((key, value))
    }

    /// Throws away what waits.
    pub fn clear(&self) {
        let mut inner = self.lock();
        inner.letters.clear();
        inner.order.clear();
    }

    pub fn len(&self) -> usize {
        self.lock().letters.len()
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
    use super::Urgency::{CanWait, Detail, Failing, Summary, Unreachable};
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_keeps_the_place_of_the_first() {
        let mailbox = Mailbox::default();
        mailbox.post("a", 1, CanWait);
        mailbox.post("b", 2, CanWait);
        mailbox.post("a", 3, CanWait);
        assert_eq!([mailbox.take().await, mailbox.take().await], [("a", 3), ("b", 2)]);
        assert_eq!((mailbox.superseded(), mailbox.len()), (1, 0));
    }

    #[tokio::test]
    async fn urgent_ones_come_first() {
        let mailbox = Mailbox::default();
        mailbox.post("idle", 1, CanWait);
        mailbox.post("broken", 2, Failing);
        assert_eq!(mailbox.take().await.0, "broken");
    }

    #[test]
    fn thousands_of_one_sort_keep_none_of_another_waiting() {
        for flood in [Failing, Unreachable, CanWait, Detail] {
            let mailbox = Mailbox::default();
            (0..1_000).for_each(|key| mailbox.post(key, (), flood));
            let few = [Failing, Unreachable, CanWait].into_iter().filter(|urgency| *urgency != flood);
            (1_000..).zip(few).for_each(|(key, urgency)| mailbox.post(key, (), urgency));
            let first: Vec<i32> = (0..4).map(|_| mailbox.try_take().unwrap().0).collect();
            assert!(first.contains(&1_000) && first.contains(&1_001), "{flood:?}: {first:?}");
        }
    }

    #[test]
    fn a_summary_has_its_turn_among_thousands() {
        let mailbox = Mailbox::default();
        (0..3_000).for_each(|key| mailbox.post(key, (), [Failing, Unreachable, CanWait][key % 3]));
        mailbox.post(3_000, (), Summary);
        let first: Vec<usize> = (0..5).map(|_| mailbox.try_take().unwrap().0).collect();
        assert!(first.contains(&3_000), "{first:?}");
    }

    #[tokio::test]
    async fn a_sort_that_is_not_asked_for_waits() {
        let mailbox = Mailbox::default();
        mailbox.post("gone", 1, Unreachable);
        mailbox.post("mended", 2, CanWait);
        let others = |urgency| urgency != Unreachable;
        assert_eq!(mailbox.take_of(others).await.0, "mended");
        assert!(mailbox.try_take_of(others).is_none());
        assert_eq!(mailbox.take().await.0, "gone");
    }

    #[tokio::test]
    async fn what_is_given_back_yields_to_what_is_newer() {
        let mailbox = Mailbox::default();
        mailbox.post("a", 2, CanWait);
        mailbox.give_back("a", 1, Failing);
        assert_eq!(mailbox.try_take(), Some(("a", 2)));
        assert_eq!(mailbox.try_take(), None);
    }

    #[tokio::test]
    async fn a_waiting_consumer_wakes() {
        let mailbox = std::sync::Arc::new(Mailbox::default());
        let taking = {
            let mailbox = mailbox.clone();
            async move { mailbox.take().await }
        };
        let posting = async { mailbox.post("a", 1, CanWait) };
        assert_eq!(tokio::join!(taking, posting).0, ("a", 1));
    }
}
