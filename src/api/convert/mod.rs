//! Converts specs to the domain, and the domain's results to statuses.

mod component;
mod conditions;
mod history;
mod integration_status;
mod shard_map;
mod spec;
mod status;
mod transitions;

pub use history::history;
pub use integration_status::{integration_meaning, integration_status};
pub use shard_map::{shard_map, shard_map_spec};
pub use spec::{SpecError, integration, target};
pub use status::{CREDENTIAL_EXPIRING, Writer, digest, said_of, stored_digest, target_status, unreachable_cause};
pub use transitions::{PhaseChange, phase_changes, record};
