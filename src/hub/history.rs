//! Whether the hub is still the one that was seen. After etcd was restored from a backup it counts resourceVersions
//! from lower ones: what was watched from a higher one would be silent until it is passed again, which takes hours.

use tokio::sync::watch;

/// Counts the pasts of the hub. Watches begin anew, with a list, whenever there is another. Cheap to clone.
#[derive(Clone, Debug)]
pub struct History(watch::Sender<u64>);

impl Default for History {
    fn default() -> Self {
        Self(watch::Sender::new(0))
    }
}

impl History {
    /// Something was older than it can be: nothing seen before counts any more.
    pub(super) fn went_back(&self) {
        self.0.send_modify(|pasts| *pasts += 1);
        tracing::warn!(
            "resourceVersions of the hub have fallen, as after a restore from a backup: everything is listed anew"
        );
    }

    /// Wakes whenever the hub went back.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}
