//! Defines the custom resources (group `ksit.io`, version `v1alpha1`) and converts them to and from the domain.
//!
//! The types here are the user-facing API. They accept whatever may be stored, including by an older version;
//! [`convert`] decides what is valid.

mod common;
pub mod convert;
pub mod crds;
mod integration;
mod integration_target;
mod shard_map;

pub use common::{AutoInstall, ComponentSpec, HelmConfig, KubeconfigSecretRef, WhenAbsent};
pub use integration::{ClusterSummary, Integration, IntegrationSpec, IntegrationStatus, TargetCounts};
pub use integration_target::{
    ComponentStatus, IntegrationResult, IntegrationTarget, IntegrationTargetSpec, IntegrationTargetStatus,
    TransitionRecord,
};
pub use shard_map::{Coordinator, Member, ReplicaLoad, ShardMap, ShardMapSpec, ShardMapStatus};

/// Finalizer that the Go toolkit set on Integrations; only ksit removes it now.
pub const LEGACY_FINALIZER: &str = "ksit.io/finalizer";

/// Label with the slot of an IntegrationTarget, one of 1,024, as three hex digits. Set by ksit.
pub const SLOT_LABEL: &str = "ksit.io/slot";

/// Field manager of ksit's writes, as shown in `managedFields`.
pub const FIELD_MANAGER: &str = "ksit";
