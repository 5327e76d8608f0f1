//! Effects that the coordinator asks for. They are performed in their order.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::aggregate::{ClusterState, Counts, VersionCount};
use crate::domain::keys::{IntegrationKey, NotifierKey, TargetKey};
use crate::domain::managed::ResourceSum;
use crate::domain::notify::{Delivery, Receiver, Record};
use crate::domain::priority::Priority;
use crate::domain::replica::{Epoch, Incarnation, ReplicaName};
use crate::domain::report::ToWorker;
use crate::domain::shard_map::PublishedMap;
use crate::domain::status::{IntegrationStatus, PhaseChange, TargetStatus};

/// One action of the coordinator on the hub, on a worker, or in its own process.
#[derive(Debug)]
pub enum Effect {
    /// Take the Lease of a silent member, if it still has this version. Answered by `LeaseTaken`.
    TakeLease {
        /// The silent member.
        name: ReplicaName,
        /// Version of the Lease that the decision was based on.
        resource_version: String,
    },
    /// Write the map over the version on the hub, or create it if there is none. Answered by `MapWritten` or
    /// `MapWriteFailed`.
    WriteMap {
        /// Replaces the stored map as a whole.
        map: PublishedMap,
        /// Whether there is no map on the hub.
        create: bool,
    },
    /// Write the freshness of the fleet to the status of the map. Answered by `MapStatusWritten`.
    WriteMapStatus(MapStatus),
    /// Answered by `StatefulSet`.
    ReadStatefulSet,
    /// End the term, although the Lease may still be valid.
    StepDown(TermEnd),
    /// Queue the status of a target.
    WriteTarget(Box<TargetWrite>),
    /// Queue the status of an Integration.
    WriteIntegration(Box<IntegrationWrite>),
    /// Send to a worker, if it still has a session. A message that finds no room is lost.
    Send {
        /// The very process; another one of the same replica must not get it.
        to: Arc<Incarnation>,
        /// A request for reports or digests, or an acknowledgement.
        message: ToWorker,
    },
    /// Set the label `ksit.io/slot` of a target.
    LabelSlot(TargetKey),
    /// Remove the Go toolkit's finalizer from an Integration.
    RemoveFinalizer(IntegrationKey),
    /// Objects of another installation were seen: read its coordinator's Lease every few seconds from now on.
    WatchInstallation(String),
    /// Write the status of a Notifier, then send a request to its receiver. Answered by `Notified`.
    Notify(Box<NotifyTask>),
    /// Update a metric.
    Metric(Metric),
    /// Write a log line.
    Log(Notice),
}

/// Status of a target to write, and the transitions that it publishes.
#[derive(Clone, Debug)]
pub struct TargetWrite {
    /// The target.
    pub key: TargetKey,
    /// The whole status.
    pub status: TargetStatus,
    /// Changes of the phases of the target and of its tools, for Events; usually empty.
    pub changes: Vec<PhaseChange>,
    /// Place in the queue: failing statuses go first.
    pub priority: Priority,
    /// Digest of the status.
    pub meaning: u128,
    /// Digest of the status that this one follows; `None` if that one is to be overwritten in any case.
    pub former_meaning: Option<u128>,
}

/// Status of an Integration to write, and the transition that it publishes.
#[derive(Clone, Debug)]
pub struct IntegrationWrite {
    pub key: IntegrationKey,
    pub status: IntegrationStatus,
    pub change: Option<PhaseChange>,
    /// As of [`TargetWrite`].
    pub meaning: u128,
    pub former_meaning: Option<u128>,
}

/// A write and a request for one Notifier. Nothing is sent unless the status could be written.
#[derive(Clone, Debug)]
pub struct NotifyTask {
    /// The Notifier.
    pub key: NotifierKey,
    /// Its whole status, if that is another than on the hub.
    pub record: Option<Record>,
    /// The request, and where it goes.
    pub request: Option<(Receiver, Delivery)>,
}

/// Why a term ends although the Lease is still held.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermEnd {
    /// Another process claimed a higher term.
    #[error("the ShardMap names {0} as the coordinator now")]
    Superseded(ReplicaName),
    /// Other members renew their Leases, and none of them sends heartbeats here.
    #[error("no member can be heard though others live: this replica seems to be cut off")]
    CutOff,
}

/// Freshness of the fleet, by replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapStatus {
    pub round: Duration,
    pub loads: Vec<Load>,
}

/// Targets of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub name: ReplicaName,
    pub targets: u32,
    /// Time since the observation of the target that was observed the longest ago.
    pub oldest_observation: Duration,
}

#[derive(Clone, Debug)]
pub enum Metric {
    /// A digest or report, by whether it was accepted: the value of the label.
    Observation(&'static str),
    Unobserved(usize),
    Epoch(Epoch),
    /// Targets in slots of no living member, and living members.
    Members {
        orphaned: u64,
        living: usize,
    },
    Fleet(Box<Figures>),
    Integration {
        key: IntegrationKey,
        type_name: String,
        counts: Counts,
        /// Newest first.
        versions: Vec<VersionCount>,
        /// By kind.
        resources: Vec<ResourceSum>,
        gone: Gone,
        is_healthy: Option<bool>,
    },
    IntegrationGone {
        key: IntegrationKey,
        type_name: String,
        gone: Gone,
    },
}

/// Parts of an Integration's former status that no cluster has any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gone {
    /// Versions of the tool.
    pub versions: Vec<String>,
    /// Kinds of managed objects.
    pub kinds: Vec<String>,
}

/// The fleet as of a tick.
#[derive(Clone, Debug)]
pub struct Figures {
    pub targets: [(ClusterState, u32); ClusterState::ALL.len()],
    pub credentials_expiring: usize,
    pub in_maintenance: usize,
    pub invalid_targets: usize,
    pub invalid_integrations: usize,
    pub oldest_observation: Duration,
    pub loads: Vec<Load>,
}

/// Log lines.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The API server prunes fields that it doesn't know. Once a term.
    StatusPruned,
    MapDeleted,
    MapDrifted,
    /// Targets that their worker was asked to confirm and did not.
    Unconfirmed {
        targets: usize,
        first: TargetKey,
    },
    /// A digest or report that was not accepted.
    NotAccepted {
        sender: Arc<Incarnation>,
        target: TargetKey,
        epoch: Epoch,
        refusal: crate::domain::ownership::Refusal,
    },
    OtherInstallationChanged {
        name: String,
        is_gone: bool,
    },
}
