//! What ksit shows of itself: metrics, health endpoints, logs.

mod health;
mod logs;
mod metrics;
mod process;
mod server;

pub use health::Health;
pub use logs::{LogFormat, init_logs};
pub use metrics::{Metrics, ReconcileResult, as_gauge};
pub use server::{ServeError, bind, serve};
