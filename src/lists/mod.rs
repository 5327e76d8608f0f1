//! Lists of the fleet, as commands print them and `ksit ui` serves them: one row a cluster, one row a cause.
//!
//! ```text
//! IntegrationTarget ─> ClusterRow ─Filter─> clusters
//!                           └─────────────> problems: clusters by cause
//! ```

mod clusters;
mod freshness;
mod problems;

pub use clusters::{ClusterRow, Filter, ToolRow};
pub use freshness::Freshness;
pub use problems::{Problem, problems};
