//! Installs of Loki.

pub const FACTS: &[&str] = &[
    include_str!("facts/loki/chart-18.11.0.json"),
    include_str!("facts/loki/helm-6.43.0.json"),
    include_str!("facts/loki/helm-6.55.0-distributed.json"),
    include_str!("facts/loki/helm-6.55.0-scalable.json"),
    include_str!("facts/loki/helm-6.55.0.json"),
];
