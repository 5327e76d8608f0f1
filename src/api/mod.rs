//! The custom resources (group `ksit.io`, version `v1alpha1`) and their way to and from the domain.
//!
//! Types here are what a user writes and reads. They accept whatever may be stored, also by an older version; what
//! can be used is decided in [`convert`].

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

/// Finalizer of the Go toolkit on Integrations. Nobody but ksit removes it any more.
pub const LEGACY_FINALIZER: &str = "ksit.io/finalizer";

/// Which of the 1,024 slots an IntegrationTarget is in, as three hex digits. Set by ksit.
pub const SLOT_LABEL: &str = "ksit.io/slot";

/// Who wrote a field, as server-side apply and `managedFields` name it.
pub const FIELD_MANAGER: &str = "ksit";
