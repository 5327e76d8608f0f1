//! Between the resources and the domain: specs in, statuses out.

mod component;
mod history;
mod shard_map;
mod spec;
mod status;

pub use history::history;
pub use shard_map::{shard_map, shard_map_spec};
pub use spec::{SpecError, integration, target};
pub use status::{
    CREDENTIAL_EXPIRING, Writer, digest, has_same_meaning_integration, integration_status, said_of, stored_digest,
    target_status,
};
