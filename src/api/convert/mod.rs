//! Between the resources and the domain: specs in, statuses in and out.

mod access;
mod cluster_profile;
mod integration_status;
mod integration_type;
mod keys;
mod resources;
mod shard_map;
mod spec;
mod status;
mod type_resources;
mod types;

pub(crate) use cluster_profile::{eks_access, first_known, profile_access};
pub(crate) use integration_status::{integration_status, stored_integration_status};
pub(crate) use integration_type::tool;
pub(crate) use keys::object_key;
pub use shard_map::{shard_map, shard_map_spec};
pub(crate) use spec::{integration, target};
pub(crate) use status::{stored_target_status, target_status};
pub(crate) use types::Types;
