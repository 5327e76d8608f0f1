//! Exposes ksit's metrics, health endpoints and logs.

mod fleet_metrics;
mod health;
mod logs;
mod metrics;
mod process;
mod server;

pub use fleet_metrics::{
    FAMILIES, Family, FleetMetrics, Samples, Scrape, TARGET_CREDENTIAL_EXPIRING, TARGET_HEALTHY, TARGET_LABELS,
    TARGET_REACHABLE, TARGET_SINCE, TOOL_HEALTHY, TOOL_SINCE, TargetMetrics,
};
pub use health::Health;
pub use logs::{LogFormat, init_logs};
pub use metrics::{Metrics, ReconcileResult, as_gauge};
pub use server::{ServeError, bind, serve};
