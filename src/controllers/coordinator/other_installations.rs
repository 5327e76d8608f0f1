//! Reads the coordinator's Leases of other installations.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::domain::coordinator::{Event, LeaseUnread, lease_of};
use crate::hub::{PromptClient, PromptError, foreign_lease};

/// Time between two reads.
const INTERVAL: Duration = Duration::from_secs(3);

/// Reads the Lease of each installation in `names` again and again, until `events` is closed.
pub(super) async fn watch_leases(hub: PromptClient, names: watch::Receiver<Vec<String>>, events: mpsc::Sender<Event>) {
    loop {
        sleep(INTERVAL).await;
        let names = names.borrow().clone();
        for name in names {
            let Some((namespace, lease)) = lease_of(&name) else { continue };
            let lease = foreign_lease(&hub, namespace, &lease).await.map_err(|error| match error {
                PromptError::Refused(_) => LeaseUnread::Forbidden,
                _ => LeaseUnread::Failed,
            });
            if events.send(Event::OtherInstallation { name, lease }).await.is_err() {
                return;
            }
        }
    }
}
