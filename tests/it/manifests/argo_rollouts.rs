//! Installs of Argo Rollouts.

pub const FACTS: &[&str] = &[
    include_str!("facts/argo_rollouts/install-v1.9.1.json"),
    include_str!("facts/argo_rollouts/install-v1.6.6.json"),
    include_str!("facts/argo_rollouts/chart-2.41.0.json"),
];
