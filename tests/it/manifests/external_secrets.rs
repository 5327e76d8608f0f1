//! Installs of External Secrets Operator.

pub const FACTS: &[&str] = &[
    include_str!("facts/external_secrets/helm-v2.9.0.json"),
    include_str!("facts/external_secrets/helm-v0.14.4.json"),
    include_str!("facts/external_secrets/chart-v2.9.0.json"),
];
