//! Installs of Argo Workflows.

pub const FACTS: &[&str] = &[
    include_str!("facts/argo_workflows/chart-1.0.18.json"),
    include_str!("facts/argo_workflows/install-v3.5.15.json"),
    include_str!("facts/argo_workflows/install-v4.1.2.json"),
];
