//! Queries to one target, and their answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::managed::{Counts, ManagedList};
use super::reason::Reason;

/// One query to a target, sent once, whatever the number of integrations that need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    /// All objects of a kind in a namespace.
    List {
        /// The kind.
        kind: ListKind,
        /// The namespace.
        namespace: String,
    },
    /// One object by name.
    Object(ObjectRef),
    /// The Pods of a workload that is not at strength, for the reason.
    Pods {
        /// The namespace.
        namespace: String,
        /// Label selector, as in a URL before it is encoded.
        selector: String,
    },
    /// The objects that a tool manages.
    Managed(Arc<ManagedList>),
    /// Which kinds the cluster serves: whether managed objects can be listed, and CustomResourceDefinitions exist
    /// without being served, which their metadata does not tell.
    Served,
}

/// Names one object on a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectRef {
    /// The kind, as in its URL.
    pub resource: Resource,
    /// Empty for a cluster-scoped object.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// A kind whose objects are read by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Whether it exists, and whether it is being deleted.
    Namespace,
    /// A namespace that is no tool's usual one, and may be absent: nothing is listed in it before it exists.
    OtherNamespace,
    /// A CustomResourceDefinition.
    Crd,
    /// The same with its conditions, which may be a megabyte: read only of one that is not served.
    CrdInFull,
    /// An APIService.
    ApiService,
    /// A ValidatingWebhookConfiguration.
    ValidatingWebhook,
    /// A MutatingWebhookConfiguration.
    MutatingWebhook,
    /// Any other kind.
    Other {
        /// Empty for the core group.
        group: String,
        /// Such as `v1`.
        version: String,
        /// Such as `backupstoragelocations`.
        plural: String,
    },
}

impl Resource {
    /// Whether it is a Lease, which has rules of its own.
    pub fn is_lease(&self) -> bool {
        matches!(self, Self::Other { group, plural, .. } if group == "coordination.k8s.io" && plural == "leases")
    }

    /// API group (empty for core), version and plural, as in RBAC rules and URLs.
    pub fn path(&self) -> (&str, &str, &str) {
        match self {
            Self::Namespace | Self::OtherNamespace => ("", "v1", "namespaces"),
            Self::Crd | Self::CrdInFull => ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
            Self::ApiService => ("apiregistration.k8s.io", "v1", "apiservices"),
            Self::ValidatingWebhook => ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
            Self::MutatingWebhook => ("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations"),
            Self::Other { group, version, plural } => (group, version, plural),
        }
    }
}

impl ObjectRef {
    /// Whether it is a namespace.
    pub fn is_namespace(&self) -> bool {
        matches!(self.resource, Resource::Namespace | Resource::OtherNamespace)
    }

    /// A namespace.
    pub fn namespace(name: impl Into<String>) -> Self {
        Self { resource: Resource::Namespace, namespace: String::new(), name: name.into() }
    }

    /// A namespace that is no tool's usual one.
    pub fn other_namespace(name: impl Into<String>) -> Self {
        Self { resource: Resource::OtherNamespace, ..Self::namespace(name) }
    }

    /// A CustomResourceDefinition, by its full name.
    pub fn crd(name: impl Into<String>) -> Self {
        Self { resource: Resource::Crd, namespace: String::new(), name: name.into() }
    }

    /// A CustomResourceDefinition with its conditions.
    pub fn crd_in_full(name: impl Into<String>) -> Self {
        Self { resource: Resource::CrdInFull, ..Self::crd(name) }
    }
}

/// The kinds that are listed, per namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// Deployments of apps/v1.
    Deployment,
    /// StatefulSets of apps/v1.
    StatefulSet,
    /// DaemonSets of apps/v1.
    DaemonSet,
    /// Services of the core group.
    Service,
    /// EndpointSlices of discovery.k8s.io/v1.
    EndpointSlice,
    /// Only if EndpointSlices are forbidden or unsupported.
    Endpoints,
}

impl ListKind {
    /// API group (empty for core), version and plural, as in RBAC rules and URLs.
    pub fn resource(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Deployment => ("apps", "v1", "deployments"),
            Self::StatefulSet => ("apps", "v1", "statefulsets"),
            Self::DaemonSet => ("apps", "v1", "daemonsets"),
            Self::Service => ("", "v1", "services"),
            Self::EndpointSlice => ("discovery.k8s.io", "v1", "endpointslices"),
            Self::Endpoints => ("", "v1", "endpoints"),
        }
    }
}

/// The answers by query. An absent query has not been answered.
pub type Snapshot = BTreeMap<Query, Answer>;

/// The answer to one query. Faults of the whole target (time-out, 5xx, 401) end the round instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// All workloads of one kind in one namespace, by name.
    Workloads(Vec<Arc<Workload>>),
    /// All Services of one namespace, by name.
    Services(Vec<Arc<Service>>),
    /// Ready endpoints by the name of their Service.
    Endpoints(BTreeMap<String, u32>),
    /// The object that was asked for by name.
    Object(Arc<ObjectState>),
    /// The commonest trouble of Pods that are not ready, if it is a known one.
    Pods(Option<PodTrouble>),
    /// Managed objects by state.
    Managed(Arc<Counts>),
    /// The same for a list that is too long to follow: it is counted once in several rounds.
    Counted(Arc<Counts>),
    /// Managed objects that the cluster does not list, although it answers.
    Unreadable {
        /// The cause of the last attempt.
        reason: Reason,
        /// Attempts in a row that failed, counted up to [`PERSISTENT`].
        times: u32,
    },
    /// The part of discovery that concerns the queries.
    Served(Served),
    /// 404: no such object, or no such API.
    NotFound,
    /// 403: an RBAC rule is missing.
    Forbidden,
}

/// Attempts that have to fail in a row before it counts, as with a whole target by default.
pub const PERSISTENT: u32 = 3;

impl Answer {
    /// The answer to a list that failed once more.
    pub fn unreadable(reason: Reason, before: Option<&Self>) -> Self {
        let times = match before {
            Some(Self::Unreadable { times, .. }) => *times,
            _ => 0,
        };
        Self::Unreadable { reason, times: (times + 1).min(PERSISTENT) }
    }
}

/// The part of discovery that concerns the queries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Names of CustomResourceDefinitions that exist without being served.
    pub missing: BTreeSet<String>,
    /// Lists of managed objects that are served, in the newest version that is.
    pub lists: Vec<Arc<ManagedList>>,
}

/// Whether an answer has objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// 403.
    Forbidden,
    /// 404.
    Missing,
    /// An empty list.
    Nothing,
    /// At least one object.
    Something,
}

impl Answer {
    /// How much the answer holds.
    pub fn extent(&self) -> Extent {
        let is_empty = match self {
            Self::Workloads(found) => found.is_empty(),
            Self::Services(found) => found.is_empty(),
            Self::Endpoints(ready) => ready.is_empty(),
            Self::Managed(counts) | Self::Counted(counts) => counts.total == 0,
            Self::Object(_) | Self::Pods(_) | Self::Unreadable { .. } | Self::Served(_) => false,
            Self::NotFound => return Extent::Missing,
            Self::Forbidden => return Extent::Forbidden,
        };
        if is_empty { Extent::Nothing } else { Extent::Something }
    }
}

/// The fields of a Deployment, StatefulSet or DaemonSet that checks read. Counts are Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    /// Its name.
    pub name: String,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// Its counts and conditions.
    pub state: WorkloadState,
    /// Version of what it runs, by its labels or its first container's image.
    pub version: Option<Box<str>>,
    /// Label selector of its Pods; only while it is not at strength.
    pub pods: Option<Box<str>>,
}

/// Why Pods are not ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodTrouble {
    /// One of a fixed list, such as `CrashLoopBackOff`.
    pub reason: &'static str,
    /// The container; `None` for a reason of the whole Pod.
    pub container: Option<String>,
}

/// Counts and conditions of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadState {
    /// `spec.replicas` (1 where unset), or `status.desiredNumberScheduled`.
    pub desired: u32,
    /// `status.availableReplicas`/`readyReplicas`, or `status.numberAvailable`.
    pub ready: u32,
    /// `status.updatedReplicas`, or `status.updatedNumberScheduled`.
    pub updated: u32,
    /// DaemonSets: Pods that a rolling update may take down at a time.
    pub max_unavailable: u32,
    /// Whether its controller has seen its spec.
    pub seen: Seen,
    /// How it gets from one version to the next.
    pub rollout: Rollout,
    /// Conditions of a Deployment.
    pub conditions: WorkloadConditions,
}

/// Whether the controller of a workload has seen its spec.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Seen {
    /// `status.observedGeneration >= metadata.generation`.
    #[default]
    Latest,
    /// An earlier generation.
    Earlier,
    /// It has no status, since this time in Unix seconds (its creation).
    Never(i64),
}

/// How a workload gets from one version to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rollout {
    /// By its controller.
    #[default]
    Automatic,
    /// `updateStrategy: OnDelete`: whoever deletes a Pod updates it.
    OnDelete,
    /// `rollingUpdate.partition` above 0: the Pods below it keep their version.
    Partition,
    /// `paused: true`.
    Paused,
}

/// Conditions of a Deployment; all default on other kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct WorkloadConditions {
    /// `Available`; `None` if its controller has not said.
    pub available: Option<bool>,
    /// `Progressing` is False (`ProgressDeadlineExceeded`).
    pub stalled: bool,
    /// `ReplicaFailure` is True: Pods can't be created, for lack of quota or by admission.
    pub replica_failure: bool,
}

/// The fields of a Service that checks read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its own labels.
    pub labels: BTreeMap<String, String>,
    /// `type: ExternalName`, which has no endpoints of its own.
    pub external: bool,
}

/// The fields of an object that is read by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectState {
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// Its controller has seen an earlier generation only.
    pub outdated: bool,
    /// `status.phase`, if it looks like one.
    pub phase: Option<String>,
    /// At most [`MAX_CONDITIONS`], by type.
    pub conditions: BTreeMap<String, ObjectCondition>,
    /// The webhooks of a configuration.
    pub webhooks: Vec<Webhook>,
    /// A Lease that its holder has not renewed for five of its durations, by the cluster's own clock.
    pub is_silent_lease: bool,
}

/// Upper bound of conditions that are read of an object.
pub const MAX_CONDITIONS: usize = 16;

/// Upper bound of webhooks that are read of a configuration.
pub const MAX_WEBHOOKS: usize = 32;

/// One condition of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCondition {
    /// `None`: Unknown.
    pub truth: Option<bool>,
    /// Its reason, if it looks like one. Messages are never read.
    pub reason: Option<String>,
}

/// One webhook of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Namespace and name of the Service that it calls; `None` for a URL.
    pub service: Option<(String, String)>,
    /// `failurePolicy: Fail`: requests are refused while it does not answer.
    pub required: bool,
    /// State of `caBundle`.
    pub ca: CaBundle,
}

/// The certificates with which an API server verifies a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CaBundle {
    /// For a URL, an empty one means the roots of the system.
    Empty,
    /// Not certificates in PEM.
    Invalid,
    /// The last of them ends at this time, in Unix seconds.
    Until(i64),
}
