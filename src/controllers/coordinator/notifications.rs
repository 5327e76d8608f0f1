//! Performs the tasks of Notifiers, all at once: a receiver that hangs delays no other. Each Notifier has at most one
//! task, so their number is bounded by that of the objects.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;

use super::metadata_repair::{RepairQueue, RepairTask};
use super::write_fence::WriteFence;
use crate::api::{MaintenanceWindow, Notifier, convert};
use crate::controllers::notify::deliver;
use crate::domain::coordinator::{Event, NotifierObject, NotifyAnswer, NotifyTask, ObjectEvent};
use crate::domain::keys::{NotifierKey, WindowKey};
use crate::domain::replica::Term;
use crate::hub::{Change, write_notifier_status};
use crate::observability::Metrics;
use crate::targets::Outbound;

/// Handles that every task needs.
pub(super) struct NotifyTasks {
    pub(super) hub: Client,
    pub(super) outbound: Outbound,
    pub(super) fence: WriteFence,
    pub(super) term: Term,
    /// As `managedBy` names it.
    pub(super) installation: String,
    pub(super) metrics: Metrics,
}

impl NotifyTasks {
    /// Runs until the event loop ends.
    pub(super) async fn run(self, mut tasks: mpsc::UnboundedReceiver<NotifyTask>, events: mpsc::Sender<Event>) {
        let mut under_way = FuturesUnordered::new();
        loop {
            tokio::select! {
                task = tasks.recv() => match task {
                    Some(task) => under_way.push(self.perform(task)),
                    None => return,
                },
                Some((key, answer)) = under_way.next(), if !under_way.is_empty() => {
                    if events.send(Event::Notified { key, answer }).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    async fn perform(&self, task: NotifyTask) -> (NotifierKey, NotifyAnswer) {
        let NotifyTask { key, record, request } = task;
        if !self.fence.may_write() {
            return (key, NotifyAnswer::Unwritten);
        }
        if let Some(record) = record {
            let status = convert::stored_notifier_status(record, self.term, &self.installation);
            if let Err(error) = write_notifier_status(&self.hub, &key, &status).await {
                tracing::warn!(notifier = %key, error, "can't write the status of a Notifier, and send nothing; trying again");
                return (key, NotifyAnswer::Unwritten);
            }
        }
        let Some((receiver, delivery)) = request else { return (key, NotifyAnswer::Written) };
        // The write may have taken long.
        if !self.fence.may_write() {
            return (key, NotifyAnswer::Unwritten);
        }
        let answer = deliver(&self.hub, &self.outbound, key.namespace(), &receiver, &delivery).await;
        let outcome = answer.as_ref().map_or_else(|fault| fault.reason, |_| "Delivered");
        self.metrics.notifications.with_label_values(&[outcome]).inc();
        match &answer {
            Ok(answer) => tracing::debug!(notifier = %key, code = answer.code, "notified"),
            Err(fault) => {
                tracing::warn!(notifier = %key, reason = fault.reason, "not notified: {}; trying again", fault.message);
            }
        }
        (key, NotifyAnswer::Sent(answer.map(drop)))
    }
}

/// A Notifier, as its watch shows it.
pub(super) fn on_notifier(change: Change<Notifier>) -> Event {
    Event::Notifier(match change {
        Change::Applied(object) => ObjectEvent::Applied(Box::new(NotifierObject {
            key: convert::object_key(&*object).into(),
            generation: object.metadata.generation.unwrap_or(0),
            desired: convert::notifier(&object),
            record: object.status.as_ref().map(convert::notifier_record),
            managed_by: object.status.as_ref().and_then(|status| status.managed_by.clone()),
        })),
        Change::Deleted(key) => ObjectEvent::Deleted(NotifierKey::from(key)),
        Change::Listed(keys) => ObjectEvent::Listed(keys.into_iter().map(NotifierKey::from).collect()),
    })
}

/// A window, as its watch shows it. One that can't be used is not there; its status says why.
pub(super) fn on_window(change: Change<MaintenanceWindow>, repairs: &Arc<RepairQueue>) -> Event {
    Event::Window(match change {
        Change::Applied(object) => {
            let key = WindowKey::from(convert::object_key(&*object));
            let window = convert::window(&object, jiff::Timestamp::now());
            if object.uid().is_some() {
                repairs.offer(RepairTask::AcceptWindow(object));
            }
            match window {
                Ok(window) => ObjectEvent::Applied(Box::new(window)),
                Err(_) => ObjectEvent::Deleted(key),
            }
        }
        Change::Deleted(key) => ObjectEvent::Deleted(WindowKey::from(key)),
        Change::Listed(keys) => ObjectEvent::Listed(keys.into_iter().map(WindowKey::from).collect()),
    })
}
