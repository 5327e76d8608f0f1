//! What is asked of one target, and what it answered.

use std::collections::BTreeMap;
use std::sync::Arc;

/// One question to a target. Each is asked once, whatever the number of integrations that need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Query {
    List {
        kind: ListKind,
        namespace: String,
    },
    /// By name and as metadata: a full list of CRDs can be tens of MB.
    Crd {
        name: String,
    },
    /// Asked only when everything in a namespace came back empty.
    Namespace {
        name: String,
    },
}

/// The kinds that are listed, namespace by namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    Deployment,
    StatefulSet,
    DaemonSet,
    Service,
    EndpointSlice,
    /// Only where EndpointSlices are forbidden.
    Endpoints,
}

impl ListKind {
    /// API group (empty for core), version and plural, as an RBAC rule and a URL spell them.
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

/// The answers. A query that is absent was not asked.
pub type Snapshot = BTreeMap<Query, Answer>;

/// What one query brought. Faults of the whole target (time-out, 5xx, 401) are not here: they end the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Workloads(Vec<Arc<Workload>>),
    Services(Vec<Arc<Service>>),
    /// Ready endpoints by the name of their Service.
    Endpoints(BTreeMap<String, u32>),
    /// The CRD or namespace is there.
    Present,
    NotFound,
    Forbidden,
}

/// How much there is of an answer.
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
