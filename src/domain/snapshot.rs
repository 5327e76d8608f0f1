//! Queries to one target, and their answers.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One query to a target, sent once, whatever the number of integrations that need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    List {
        kind: ListKind,
        namespace: String,
    },
    /// By name and metadata only: a full list of CRDs can have tens of MB.
    Crd {
        name: String,
    },
    /// Sent only if every list in the namespace is empty.
    Namespace {
        name: String,
    },
}

/// The kinds that are listed, per namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Service,
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
    Workloads(Vec<Arc<Workload>>),
    Services(Vec<Arc<Service>>),
    /// Ready endpoints by the name of their Service.
    Endpoints(BTreeMap<String, u32>),
    /// The CRD or namespace exists.
    Present,
    NotFound,
    Forbidden,
}

/// Whether an answer has objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// 403 or 404.
    Refused,
    Nothing,
    Something,
}

impl Answer {
    pub fn extent(&self) -> Extent {
        let is_empty = match self {
            Self::Workloads(found) => found.is_empty(),
            Self::Services(found) => found.is_empty(),
            Self::Endpoints(ready) => ready.is_empty(),
            Self::Present => false,
            Self::NotFound | Self::Forbidden => return Extent::Refused,
        };
        if is_empty { Extent::Nothing } else { Extent::Something }
    }
}

/// The fields of a Deployment, StatefulSet or DaemonSet that checks read. Counts are Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Workload {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `spec.replicas` (1 where unset), or `status.desiredNumberScheduled`.
    pub desired: u32,
    /// `status.availableReplicas`/`readyReplicas`, or `status.numberAvailable`.
    pub ready: u32,
    /// `status.updatedReplicas`, or `status.updatedNumberScheduled`.
    pub updated: u32,
    /// The controller has seen the latest spec: `status.observedGeneration >= metadata.generation`.
    pub observed: bool,
    /// The Deployment's `Progressing` condition is `False` (`ProgressDeadlineExceeded`).
    pub stalled: bool,
}

/// The fields of a Service that checks read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Service {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    /// `type: ExternalName`, which has no endpoints of its own.
    pub external: bool,
}
