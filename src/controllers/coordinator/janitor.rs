//! What the coordinator mends on objects beside their status: slot labels, and the Go toolkit's finalizer.

use std::time::Duration;

use futures::{StreamExt, stream};
use kube::{Client, ResourceExt};
use tokio::time::sleep;

use super::gate::Gate;

use crate::api::{Integration, IntegrationTarget};
use crate::hub::{Mailbox, Urgency, label_slot, remove_legacy_finalizer};

/// Objects to look after, by uid.
pub type Chores = Mailbox<String, Chore>;

#[derive(Debug)]
pub enum Chore {
    RemoveFinalizer(Box<Integration>),
    LabelSlot(Box<IntegrationTarget>),
}

const AFTER_A_FAILURE: Duration = Duration::from_secs(5);

/// Pause while nothing may be written.
const CLOSED: Duration = Duration::from_millis(100);

/// A new fleet of thousands has to be labelled.
const AT_A_TIME: usize = 8;

impl Chores {
    pub fn offer(&self, chore: Chore) {
        let uid = match &chore {
            Chore::RemoveFinalizer(object) => object.uid(),
            Chore::LabelSlot(object) => object.uid(),
        };
        self.post(uid.unwrap_or_default(), chore, Urgency::CanWait);
    }
}

/// For ever, while this replica may write.
pub async fn do_chores(client: Client, chores: &Chores, gate: &Gate) {
    let chore = |_| async {
        let (uid, chore) = chores.take().await;
        do_one(&client, chores, gate, uid, chore).await;
    };
    stream::repeat(()).map(chore).buffer_unordered(AT_A_TIME).collect::<()>().await;
}

async fn do_one(client: &Client, chores: &Chores, gate: &Gate, uid: String, chore: Chore) {
    while !gate.is_open() {
        sleep(CLOSED).await;
    }
    let (what, object, done) = match &chore {
        Chore::RemoveFinalizer(object) => {
            let done = remove_legacy_finalizer(client, object).await;
            ("the former toolkit's finalizer taken off", object.name_any(), done)
        }
        Chore::LabelSlot(object) => ("labelled with its slot", object.name_any(), label_slot(client, object).await),
    };
    match done {
        Ok(()) => tracing::debug!(object, what),
        // It changed or went meanwhile: the watch brings it again if there is still something to do.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => {}
        Err(error) => {
            tracing::warn!(object, %error, "not {what}; trying again");
            chores.give_back(uid, chore, Urgency::CanWait);
            sleep(AFTER_A_FAILURE).await;
        }
    }
}
