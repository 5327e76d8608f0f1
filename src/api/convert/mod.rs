//! Between the resources and the domain: specs in, statuses in and out.

mod access;
mod cluster_profile;
mod integration_status;
mod integration_type;
mod keys;
mod maintenance_window;
mod notifier;
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
pub(crate) use maintenance_window::window;
pub(crate) use notifier::{notifier, notifier_record, stored_notifier_status};
pub use shard_map::{shard_map, shard_map_spec};
pub(crate) use spec::{integration, target};
pub(crate) use status::{stored_target_status, target_status};
pub(crate) use types::Types;
