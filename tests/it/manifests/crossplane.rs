//! Installs of Crossplane.

pub const FACTS: &[&str] = &[
    include_str!("facts/crossplane/helm-v2.3.4.json"),
    include_str!("facts/crossplane/helm-v1.20.11.json"),
    include_str!("facts/crossplane/chart-v2.3.4.json"),
];
