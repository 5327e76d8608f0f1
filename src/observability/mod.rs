//! Exposes ksit's metrics, health endpoints, logs, and the facts of its build.

mod build;
mod fleet_metrics;
mod health;
mod logs;
mod metrics;
mod process;
mod server;

pub(crate) use build::BUILD;
pub use fleet_metrics::{FAMILIES, Family, TargetMetrics};
pub(crate) use fleet_metrics::{
    FleetMetrics, RESOURCES_FAILING, Samples, Scrape, TARGET_CREDENTIAL_EXPIRING, TARGET_HEALTHY, TARGET_LABELS,
    TARGET_MAINTENANCE, TARGET_REACHABLE, TARGET_SINCE, TOOL_HEALTHY, TOOL_SINCE,
};
pub(crate) use health::Health;
pub(crate) use logs::{LogFormat, init_logs};
pub(crate) use metrics::as_gauge;
pub use metrics::{Metrics, ReconcileResult};
pub(crate) use server::{ServeError, bind, serve};
