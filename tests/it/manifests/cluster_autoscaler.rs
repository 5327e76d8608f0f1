//! Installs of the Cluster Autoscaler.

pub const FACTS: &[&str] = &[
    include_str!("facts/cluster_autoscaler/autodiscover-1.30.0.json"),
    include_str!("facts/cluster_autoscaler/autodiscover-1.34.0.json"),
    include_str!("facts/cluster_autoscaler/chart-9.59.0.json"),
];
