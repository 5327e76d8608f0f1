//! Interns equal objects across clusters: a Deployment of the same version looks the same everywhere.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::snapshot::{Service, Workload};

/// The pools of one process.
#[derive(Debug, Default)]
pub(super) struct Pools {
    pub workloads: Pool<Workload>,
    pub services: Pool<Service>,
    /// Names of the Services of endpoints.
    pub names: Pool<String>,
}

/// Distinct values, each kept while it is referenced elsewhere.
#[derive(Debug)]
pub(super) struct Pool<T> {
    hashing: RandomState,
    /// By hash. On a collision, which is very rare, only the first value is interned.
    kept: Mutex<HashMap<u64, Arc<T>>>,
}

/// A parsed value, copied only if the pool doesn't have it.
pub(super) trait Internable: Hash {
    type Value;

    fn equals(&self, kept: &Self::Value) -> bool;
    fn into_value(self) -> Self::Value;
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { hashing: RandomState::new(), kept: Mutex::default() }
    }
}

impl<T> Pool<T> {
    /// The shared value equal to `parsed`.
    pub(super) fn intern(&self, parsed: impl Internable<Value = T>) -> Arc<T> {
        let hash = self.hashing.hash_one(&parsed);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(&hash) {
            Some(value) if parsed.equals(value) => return value.clone(),
            Some(_) => return Arc::new(parsed.into_value()),
            None => {}
        }
        if kept.len() == kept.capacity() {
            kept.retain(|_, value| Arc::strong_count(value) > 1);
            // Twice the room, so that sweeps stay rare.
            let used = kept.len();
            kept.reserve(used + 1);
        }
        let value = Arc::new(parsed.into_value());
        kept.insert(hash, value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::text::Text;

    #[test]
    fn pool_shares_equal_values_and_frees_unused_ones() {
        let pool = Pool::default();
        let intern = |text: &str| pool.intern(Text::from(text));
        let first = intern("a");
        assert!(Arc::ptr_eq(&first, &intern("a")));
        for number in 0..10_000 {
            intern(&number.to_string());
        }
        let kept = pool.kept.lock().unwrap().len();
        assert!(kept <= 100, "{kept} kept");
        assert!(Arc::ptr_eq(&first, &intern("a")), "a referenced value stays");
    }
}
