//! Reports that workers were asked for and that have not come.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::domain::keys::TargetKey;

/// A report that was asked for and didn't come is asked for again.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);

/// With when they were asked for last.
#[derive(Default)]
pub(super) struct Wanted(BTreeMap<TargetKey, Instant>);

impl Wanted {
    pub(super) fn ask(&mut self, key: TargetKey, now: Instant) {
        self.0.insert(key, now);
    }

    /// It came, or is wanted no more.
    pub(super) fn answered(&mut self, key: &TargetKey) {
        self.0.remove(key);
    }

    pub(super) fn contains(&self, key: &TargetKey) -> bool {
        self.0.contains_key(key)
    }

    /// Those to ask for again.
    pub(super) fn overdue(&self, now: Instant) -> impl Iterator<Item = &TargetKey> {
        self.0.iter().filter(move |(_, asked)| now - **asked > ASK_AGAIN).map(|(key, _)| key)
    }
}
