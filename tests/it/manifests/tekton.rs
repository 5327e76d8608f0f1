//! Installs of Tekton Pipelines.

pub const FACTS: &[&str] = &[
    include_str!("facts/tekton/release-v1.15.0.json"),
    include_str!("facts/tekton/release-v1.0.0.json"),
    include_str!("facts/tekton/chart-1.9.1.json"),
];
