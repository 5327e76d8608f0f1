//! A queue that can't grow: of several messages for one address only the newest is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use tokio::sync::Notify;

/// Newest-wins by key; urgent ones are handed out first, each class in the order of its first arrival.
#[derive(Debug)]
pub struct Mailbox<K, V> {
    inner: Mutex<Inner<K, V>>,
    filled: Notify,
}

#[derive(Debug)]
struct Inner<K, V> {
    letters: BTreeMap<K, (Place, V)>,
    /// Who is next: not urgent sorts last, then by arrival.
    order: BTreeSet<(Place, K)>,
    arrivals: u64,
    superseded: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    can_wait: bool,
    arrival: u64,
}

impl<K, V> Default for Mailbox<K, V> {
    fn default() -> Self {
        let inner = Inner { letters: BTreeMap::new(), order: BTreeSet::new(), arrivals: 0, superseded: 0 };
        Self { inner: Mutex::new(inner), filled: Notify::new() }
    }
}

impl<K: Ord + Clone, V> Mailbox<K, V> {
    /// Puts `value` in; one that waits under the same key is dropped, and its place in the queue is kept.
    pub fn post(&self, key: K, value: V, urgent: bool) {
        {
            let mut inner = self.lock();
            let arrival = inner.arrivals;
            inner.arrivals += 1;
            let mut place = Place { can_wait: !urgent, arrival };
            if let Some((former, _)) = inner.letters.remove(&key) {
                inner.order.remove(&(former, key.clone()));
                inner.superseded += 1;
                place = Place { can_wait: !urgent && former.can_wait, arrival: former.arrival };
            }
            inner.order.insert((place, key.clone()));
            inner.letters.insert(key, (place, value));
        }
        self.filled.notify_one();
    }

    /// As [`Mailbox::post`], unless something newer waits already.
    pub fn give_back(&self, key: K, value: V, urgent: bool) {
        if !self.lock().letters.contains_key(&key) {
            self.post(key, value, urgent);
        }
    }

    /// The next one; waits while there is none. For one consumer.
    pub async fn take(&self) -> (K, V) {
        loop {
            let waiting = self.filled.notified();
            if let Some(letter) = self.try_take() {
                return letter;
            }
            waiting.await;
        }
    }

    pub fn try_take(&self) -> Option<(K, V)> {
        let mut inner = self.lock();
        let (_, key) = inner.order.pop_first()?;
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
    use super::*;

    #[tokio::test]
    async fn the_newest_wins_and_keeps_the_place_of_the_first() {
        let mailbox = Mailbox::default();
        mailbox.post("a", 1, false);
        mailbox.post("b", 2, false);
        mailbox.post("a", 3, false);
        assert_eq!([mailbox.take().await, mailbox.take().await], [("a", 3), ("b", 2)]);
        assert_eq!((mailbox.superseded(), mailbox.len()), (1, 0));
    }

    #[tokio::test]
    async fn urgent_ones_come_first() {
        let mailbox = Mailbox::default();
        mailbox.post("idle", 1, false);
        mailbox.post("broken", 2, true);
        assert_eq!(mailbox.take().await.0, "broken");
    }

    #[tokio::test]
    async fn what_is_given_back_yields_to_what_is_newer() {
        let mailbox = Mailbox::default();
        mailbox.post("a", 2, false);
        mailbox.give_back("a", 1, true);
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
        let posting = async { mailbox.post("a", 1, false) };
        assert_eq!(tokio::join!(taking, posting).0, ("a", 1));
    }
}
