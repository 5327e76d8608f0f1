//! What is alike on many clusters is kept once: the same Deployment of the same version looks the same everywhere.

use std::collections::HashSet;
use std::hash::Hash;
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
pub(super) struct Pool<T>(Mutex<HashSet<Arc<T>>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::new(HashSet::new()))
    }
}

impl<T: Eq + Hash> Pool<T> {
    /// The one value that equals this.
    pub(super) fn intern(&self, value: T) -> Arc<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept.get(&value) {
            return known.clone();
        }
        if kept.len() == kept.capacity() {
            kept.retain(|value| Arc::strong_count(value) > 1);
            // As much room again, so that sweeping stays rare.
            let used = kept.len();
            kept.reserve(used + 1);
        }
        let value = Arc::new(value);
        kept.insert(value.clone());
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_and_what_nobody_has_is_let_go() {
        let pool = Pool::default();
        let first = pool.intern("a".to_owned());
        assert!(Arc::ptr_eq(&first, &pool.intern("a".to_owned())));
        for number in 0..10_000 {
            pool.intern(number.to_string());
        }
        let kept = pool.0.lock().unwrap().len();
        assert!(kept <= 100, "{kept} kept");
        assert!(Arc::ptr_eq(&first, &pool.intern("a".to_owned())), "what somebody has stays");
    }
}
