//! What is alike on many clusters is kept once: the same Deployment of the same version looks the same everywhere.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::snapshot::{Service, Workload};

/// The pools of one process.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub workloads: Pool<Workload>,
    pub services: Pool<Service>,
    /// Names of the Services that endpoints belong to.
    pub names: Pool<String>,
}

/// Values, each once, as long as anybody has them.
#[derive(Debug)]
pub(super) struct Pool<T> {
    hashing: RandomState,
    /// By their hashes. Of two that have the same one, which hardly ever happens, the first.
    kept: Mutex<HashMap<u64, Arc<T>>>,
}

/// A value as it was read, which is copied only if it is new.
pub(super) trait Seen: Hash {
    type Value;

    fn is(&self, known: &Self::Value) -> bool;
    fn into_value(self) -> Self::Value;
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { hashing: RandomState::new(), kept: Mutex::default() }
    }
}

impl<T> Pool<T> {
    /// The one value that equals this.
    pub(super) fn intern(&self, seen: impl Seen<Value = T>) -> Arc<T> {
        let hash = self.hashing.hash_one(&seen);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&hash) {
            Some(known) if seen.is(known) => return known.clone(),
            Some(_) => return Arc::new(seen.into_value()),
            None => {}
        }
        if kept.len() == kept.capacity() {
            kept.retain(|_, value| Arc::strong_count(value) > 1);
            // As much room again, so that sweeping stays rare.
            let used = kept.len();
            kept.reserve(used + 1);
        }
        let value = Arc::new(seen.into_value());
        kept.insert(hash, value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::text::Text;

    #[test]
    fn equal_values_are_one_and_what_nobody_has_is_let_go() {
        let pool = Pool::default();
        let intern = |text: &str| pool.intern(Text::from(text));
        let first = intern("a");
        assert!(Arc::ptr_eq(&first, &intern("a")));
        for number in 0..10_000 {
            intern(&number.to_string());
        }
        let kept = pool.kept.lock().unwrap().len();
        assert!(kept <= 100, "{kept} kept");
        assert!(Arc::ptr_eq(&first, &intern("a")), "what somebody has stays");
    }
}
