//! Takes the Go toolkit's finalizer off stored Integrations.

use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::time::sleep;

use crate::api::Integration;
use crate::hub::{Mailbox, remove_legacy_finalizer};

/// Integrations that carry it, by uid.
pub type Legacy = Mailbox<String, Box<Integration>>;

const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// For ever.
pub async fn remove_finalizers(client: Client, legacy: &Legacy) {
    loop {
        let (uid, integration) = legacy.take().await;
        let (namespace, name) = (integration.namespace().unwrap_or_default(), integration.name_any());
        match remove_legacy_finalizer(&client, &integration).await {
            Ok(_) => tracing::info!(namespace, name, "took the former toolkit's finalizer off"),
            // It changed or went meanwhile: the watch brings it again if there is still something to do.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
            Err(error) => {
                tracing::warn!(namespace, name, %error, "can't take the former toolkit's finalizer off; trying again");
                legacy.give_back(uid, integration, false);
                sleep(AFTER_A_FAILURE).await;
            }
        }
    }
}
