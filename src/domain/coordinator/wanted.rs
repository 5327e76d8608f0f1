//! Reports that workers were asked for and that have not come yet.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::keys::TargetKey;

/// A report that doesn't come is asked for again after this time.
pub(super) const ASK_AGAIN: Duration = Duration::from_secs(10);

/// Targets, and the time of the last request for each.
#[derive(Default)]
pub(super) struct Wanted(BTreeMap<TargetKey, Duration>);

impl Wanted {
    pub(super) fn ask(&mut self, key: TargetKey, now: Duration) {
        self.0.insert(key, now);
    }

    /// The report came, or is wanted no more.
    pub(super) fn answered(&mut self, key: &TargetKey) {
        self.0.remove(key);
    }

    pub(super) fn contains(&self, key: &TargetKey) -> bool {
        self.0.contains_key(key)
    }

    /// Targets to ask for again.
    pub(super) fn overdue(&self, now: Duration) -> impl Iterator<Item = &TargetKey> {
        self.0.iter().filter(move |(_, asked)| now.saturating_sub(**asked) > ASK_AGAIN).map(|(key, _)| key)
    }
}
