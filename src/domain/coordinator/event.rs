//! Events that the coordinator decides on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::desired::{DesiredIntegration, DesiredTarget};
use crate::domain::digest::{Digest, meaning};
use crate::domain::keys::{IntegrationKey, NotifierKey, TargetKey, WindowKey};
use crate::domain::maintenance::{Maintenance, Window};
use crate::domain::member::MemberLease;
use crate::domain::notify::{DeliveryFault, Record, Spec};
use crate::domain::replica::{Incarnation, ReplicaName};
use crate::domain::report::FromWorker;
use crate::domain::shard_map::PublishedMap;
use crate::domain::status::{IntegrationStatus, TargetStatus};

/// Everything that a coordinator learns, in the order in which it happened.
#[derive(Debug)]
pub enum Event {
    /// From the watch of IntegrationTargets.
    Target(ObjectEvent<TargetKey, TargetObject>),
    /// From the watch of Integrations.
    Integration(ObjectEvent<IntegrationKey, IntegrationObject>),
    /// From the watch of Notifiers.
    Notifier(ObjectEvent<NotifierKey, NotifierObject>),
    /// From the watch of MaintenanceWindows. One that can't be used is not there.
    Window(ObjectEvent<WindowKey, Window>),
    /// Ends [`Effect::Notify`](super::Effect::Notify).
    Notified {
        /// The Notifier.
        key: NotifierKey,
        /// How it ended.
        answer: NotifyAnswer,
    },
    /// A member sent a message. Messages of other processes are dropped before.
    Message(Message),
    /// The Leases of all members as they are now. Due whenever one changes.
    Leases(BTreeMap<ReplicaName, MemberLease>),
    /// Ends [`Effect::TakeLease`](super::Effect::TakeLease), successful or not.
    LeaseTaken,
    /// Answers [`Effect::ReadStatefulSet`](super::Effect::ReadStatefulSet): the wanted number of replicas, if any; `Err`
    /// if it could not be read.
    StatefulSet(Result<Option<u32>, ()>),
    /// The map on the hub, newer than any that was written or read here; `None` if it was deleted.
    Map(Option<PublishedMap>),
    /// The map of the last [`Effect::WriteMap`](super::Effect::WriteMap) is on the hub.
    MapWritten,
    /// It may be or not. A successful read follows as [`Event::Map`].
    MapWriteFailed,
    /// Ends [`Effect::WriteMapStatus`](super::Effect::WriteMapStatus), successful or not.
    MapStatusWritten,
    /// The coordinator's Lease of another installation; `Ok(None)` if there is none.
    OtherInstallation {
        /// As `managedBy` names it: `namespace/name`.
        name: String,
        /// The Lease as last read.
        lease: Result<Option<ForeignLease>, LeaseUnread>,
    },
    /// Every two seconds.
    Tick,
    /// The time of [`Coordinator::next_timer`](super::Coordinator::next_timer) has come.
    Timer,
}

/// A watch event of one kind of object.
#[derive(Debug)]
pub enum ObjectEvent<K, O> {
    /// The object was created or changed, or is part of the first list.
    Applied(Box<O>),
    /// The object is gone.
    Deleted(K),
    /// A full list was handed over: other objects are gone.
    Listed(BTreeSet<K>),
}

/// An IntegrationTarget on the hub.
#[derive(Clone, Debug)]
pub struct TargetObject {
    /// Namespace and name.
    pub key: TargetKey,
    /// The spec, or why it can't be used.
    pub desired: Result<DesiredTarget, String>,
    /// Generation of the spec, also if it can't be used.
    pub generation: i64,
    /// The value of the label `ksit.io/slot`.
    pub slot_label: Option<String>,
    /// `None` until the first status is written.
    pub status: Option<CachedStatus>,
}

/// An Integration on the hub.
#[derive(Clone, Debug)]
pub struct IntegrationObject {
    pub desired: DesiredIntegration,
    pub has_legacy_finalizer: bool,
    pub status: Option<IntegrationStatus>,
}

/// A Notifier on the hub.
#[derive(Clone, Debug)]
pub struct NotifierObject {
    /// Namespace and name.
    pub key: NotifierKey,
    /// Generation of the spec, also if it can't be used.
    pub generation: i64,
    /// The spec, or why it can't be used.
    pub desired: Result<Spec, String>,
    /// Its status; `None` until the first is written.
    pub record: Option<Record>,
    /// Installation that wrote it.
    pub managed_by: Option<String>,
}

/// How a task for a Notifier ended.
#[derive(Clone, Debug)]
pub enum NotifyAnswer {
    /// The status could not be written, and nothing was sent.
    Unwritten,
    /// The status was written, and nothing was to be sent.
    Written,
    /// The receiver answered, or did not.
    Sent(Result<(), DeliveryFault>),
}

/// A status without its components, which are most of it, and the digest of all of it.
#[derive(Clone, Debug, PartialEq)]
pub struct CachedStatus {
    /// As read from the hub.
    pub status: TargetStatus,
    /// Digest with the components, to compare with those of workers.
    pub digest: Digest,
}

impl CachedStatus {
    /// Hash of all that the stored status says: of the digest, and of the maintenance that workers don't know.
    pub(super) fn written_meaning(&self) -> u128 {
        let Some(Maintenance { name, until, integrations }) = &self.status.maintenance else {
            return self.digest.meaning;
        };
        let (digest, until) = (self.digest.meaning.to_string(), until.to_string());
        let fields = [digest.as_str(), name, &until].into_iter().chain(integrations.iter().map(String::as_str));
        meaning(fields)
    }

    /// Computes the digest, then drops the components.
    pub fn new(key: &TargetKey, status: TargetStatus) -> Self {
        let digest = status.digest(key);
        Self { status: status.without_components(), digest }
    }
}

/// A message of a worker.
#[derive(Debug)]
pub struct Message {
    /// As authenticated.
    pub sender: Arc<Incarnation>,
    /// Its content is the sender's claim; ownership is not checked yet.
    pub message: FromWorker,
    /// Size on the wire; 0 from this very process.
    pub bytes: usize,
}

/// One version of another installation's Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignLease {
    pub resource_version: String,
    /// For how long it holds without a renewal, as written in it.
    pub duration: Option<Duration>,
}

/// The Lease of another installation could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseUnread {
    Forbidden,
    /// The hub did not answer, for instance.
    Failed,
}
