//! Defines the custom resources (group `ksit.io`, version `v1alpha1`) and converts them to and from the domain.
//!
//! The types here are the user-facing API. They accept whatever may be stored, including by an older version;
//! [`convert`] decides what is valid.

mod access;
pub mod catalogue;
mod cluster_profile;
mod common;
pub mod convert;
pub mod crds;
mod integration;
mod integration_target;
mod integration_type;
mod maintenance_window;
mod notifier;
mod shard_map;

pub(crate) use access::ClusterAccess;
pub(crate) use cluster_profile::ClusterProfile;
pub(crate) use common::{ComponentSpec, KubeconfigSecretRef, WhenAbsent};
pub use integration::Integration;
pub(crate) use integration::{ClusterSummary, IntegrationStatus, ResourceTotals, TargetCounts, VersionSummary};
pub(crate) use integration_target::{
    ComponentStatus, FailingObject, IntegrationTargetSpec, IntegrationTargetStatus, ResourceCounts, TransitionRecord,
};
pub use integration_target::{IntegrationResult, IntegrationTarget, MaintenanceStatus};
pub use integration_type::IntegrationType;
pub(crate) use integration_type::{IntegrationTypeSpec, TypeComponent, TypeProfile, TypeResource, WorkloadKind};
pub use maintenance_window::MaintenanceWindow;
pub use notifier::Notifier;
pub(crate) use notifier::{NotifierSpec, NotifierStatus, OpenCause, ReportedPhase, SecretKeyRef};
pub use shard_map::ShardMap;
pub(crate) use shard_map::{Coordinator, Member, ReplicaLoad, ShardMapSpec, ShardMapStatus};

/// Finalizer that the Go toolkit set on Integrations; only ksit removes it now.
pub(crate) const LEGACY_FINALIZER: &str = "ksit.io/finalizer";

/// Label with the slot of an IntegrationTarget, one of 1,024, as three hex digits. Set by ksit.
pub(crate) const SLOT_LABEL: &str = "ksit.io/slot";

/// Field manager of ksit's writes, as shown in `managedFields`.
pub(crate) const FIELD_MANAGER: &str = "ksit";
