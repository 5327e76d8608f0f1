//! Between the resources and the domain: specs in, statuses in and out.

mod integration_status;
mod keys;
mod shard_map;
mod spec;
mod status;

pub use integration_status::{integration_status, stored_integration_status};
pub use keys::object_key;
pub use shard_map::{shard_map, shard_map_spec};
pub use spec::{SpecError, integration, target};
pub use status::{stored_target_status, target_status};
