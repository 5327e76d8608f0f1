//! Installs of Metrics Server.

pub const FACTS: &[&str] = &[
    include_str!("facts/metrics_server/chart-3.13.0.json"),
    include_str!("facts/metrics_server/components-v0.7.2.json"),
    include_str!("facts/metrics_server/components-v0.8.1.json"),
    include_str!("facts/metrics_server/high-availability-v0.8.1.json"),
];
