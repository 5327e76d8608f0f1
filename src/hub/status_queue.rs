//! Statuses on their way to the hub.

use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::core::ApiResource;

use super::coalescing_queue::CoalescingQueue;
use super::events::{Transition, merge};
use crate::domain::priority::Priority;

/// One status to write.
#[derive(Clone, Debug)]
pub struct StatusWrite {
    pub resource: ApiResource,
    pub object: ObjectReference,
    /// As JSON: thousands may wait, and a tree of values is four times as large.
    pub status: String,
    pub priority: Priority,
    /// The meaning of the status.
    pub meaning: u128,
    /// The meaning of the status that it was decided from; none where that is to be written over in any case.
    pub former_meaning: Option<u128>,
    /// Told once the write has been taken.
    pub transitions: Vec<Transition>,
}

impl StatusWrite {
    /// The same, instead of an earlier write of the object that was not made, and telling what that would have told.
    pub(super) fn instead_of(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        // One that was decided from another status than the earlier one knows better what stands on the hub.
        let follows = self.former_meaning == Some(earlier.meaning);
        let former_meaning = if follows { earlier.former_meaning } else { self.former_meaning };
        Self { transitions: merge(earlier.transitions, self.transitions), former_meaning, ..self }
    }

    /// It takes back what an earlier write would have changed: there is nothing to write.
    pub(super) fn changes_nothing(&self) -> bool {
        self.former_meaning == Some(self.meaning)
    }
}

/// Kind, namespace and name of the object that a status is for.
pub type ObjectId = (String, String, String);

/// Statuses that wait to be written, and those that are being written.
#[derive(Debug, Default)]
pub struct StatusQueue {
    waiting: CoalescingQueue<ObjectId, StatusWrite>,
    in_flight: AtomicUsize,
}

impl StatusQueue {
    /// Puts a status in; an older one of the same object is dropped.
    pub fn enqueue(&self, id: ObjectId, write: StatusWrite) {
        let priority = write.priority;
        self.waiting.enqueue_with(id, priority, |older| write.instead_of(older));
    }

    /// Throws away what waits: it was decided in a reign that has ended.
    pub fn clear(&self) {
        self.waiting.clear();
        self.in_flight.store(0, Ordering::Relaxed);
    }

    /// Statuses that the hub doesn't have yet.
    pub fn pending(&self) -> usize {
        self.waiting.len() + self.in_flight.load(Ordering::Relaxed)
    }

    /// Statuses that a newer one of the same object replaced, in the life of this process.
    pub fn superseded(&self) -> u64 {
        self.waiting.superseded()
    }

    /// The next one of these priorities, which counts as being written from now on.
    pub(super) async fn dequeue_where(&self, priorities: impl Fn(Priority) -> bool) -> (ObjectId, StatusWrite) {
        let next = self.waiting.dequeue_where(priorities).await;
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        next
    }

    /// Ends what [`StatusQueue::dequeue_where`] began; what comes back waits again, unless something newer does.
    pub(super) fn done(&self, again: Option<(ObjectId, StatusWrite)>) {
        if let Some((id, write)) = again {
            self.requeue(id, write);
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn requeue(&self, id: ObjectId, write: StatusWrite) {
        let priority = write.priority;
        self.waiting.enqueue_with(id, priority, |newer| match newer {
            Some(newer) => newer.instead_of(Some(write)),
            None => write,
        });
    }
}
