//! Detects rollbacks of the hub. After etcd is restored from a backup, resourceVersions continue from a lower one, and
//! a watch from a higher version would stay silent until that version is passed again, which takes hours.

use tokio::sync::watch;

/// Counts the hub's rollbacks. After each, all watches restart with a list. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History(watch::Sender<u64>);

impl Default for History {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl History {
    /// Records that a version was lower than possible: nothing cached before counts any more.
    pub(super) fn record_rollback(&self) {
        self.0.send_modify(|rollbacks| *rollbacks += 1);
        tracing::warn!(
            "resourceVersions of the hub have fallen, as after a restore from a backup: listing everything again"
        );
    }

    /// Wakes after each rollback.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
