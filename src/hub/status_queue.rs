//! Queues status writes, coalesced per object.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::ApiResource;
use serde_json::value::RawValue;

use super::coalescing_queue::CoalescingQueue;
use super::events::{Transition, merge};
use crate::domain::keys::ObjectKey;
use crate::domain::priority::Priority;

/// One status to write.
#[derive(Clone, Debug)]
pub struct StatusWrite {
    pub resource: ApiResource,
    pub object: ObjectReference,
    /// JSON text: thousands may wait, and a `serde_json::Value` is four times as large.
    pub status: Box<RawValue>,
    pub priority: Priority,
    /// Hash of the status without times and writer.
    pub meaning: u128,
    /// The `meaning` of the status that this one replaces; `None` to write in any case.
    pub former_meaning: Option<u128>,
    /// Published once the hub has accepted the write.
    pub transitions: Vec<Transition>,
}

impl StatusWrite {
    /// Replaces an earlier, unwritten status of the object, and takes over its unpublished transitions.
    pub(super) fn instead_of(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        // If it does not follow on the earlier write, its own view of the hub's status is the newer one.
        let follows = self.former_meaning == Some(earlier.meaning);
        let former_meaning = if follows { earlier.former_meaning } else { self.former_meaning };
        Self { transitions: merge(earlier.transitions, self.transitions), former_meaning, ..self }
    }

    /// Whether the hub has the same status already, because this write reverts an unwritten change.
    pub(super) fn changes_nothing(&self) -> bool {
        self.former_meaning == Some(self.meaning)
    }
}

/// The object that a status is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusKey {
    pub kind: Cow<'static, str>,
    pub object: ObjectKey,
}

/// Statuses waiting to be written or in flight.
#[derive(Debug, Default)]
pub struct StatusQueue {
    waiting: CoalescingQueue<StatusKey, StatusWrite>,
    in_flight: AtomicUsize,
}

impl StatusQueue {
    /// Enqueues a status; it replaces an older one of the same object.
    pub fn enqueue(&self, id: StatusKey, write: StatusWrite) {
        let priority = write.priority;
        self.waiting.enqueue_with(id, priority, |older| write.instead_of(older));
    }

    /// Drops the waiting statuses of a term that has ended.
    pub fn clear(&self) {
        self.waiting.clear();
        self.in_flight.store(0, Ordering::Relaxed);
    }

    /// Number of statuses that the hub does not have yet.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.in_flight.load(Ordering::Relaxed)
    }

    /// Number of statuses replaced by a newer one of the same object, since the process started.
    pub fn superseded(&self) -> u64 {
        self.waiting.superseded()
    }

    /// Takes out the next status of these priorities, which then counts as in flight.
    pub(super) async fn dequeue_where(&self, priorities: impl Fn(Priority) -> bool) -> (StatusKey, StatusWrite) {
        let next = self.waiting.dequeue_where(priorities).await;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        next
    }

    /// Ends the flight of a status; `again` puts it back into the queue, behind a newer one if there is any.
    pub(super) fn done(&self, again: Option<(StatusKey, StatusWrite)>) {
        if let Some((id, write)) = again {
            self.requeue(id, write);
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn requeue(&self, id: StatusKey, write: StatusWrite) {
        let priority = write.priority;
        self.waiting.enqueue_with(id, priority, |newer| match newer {
            Some(newer) => newer.instead_of(Some(write)),
            None => write,
        });
    }
}
