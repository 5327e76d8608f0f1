//! Installs of Kyverno.

pub const FACTS: &[&str] = &[
    include_str!("facts/kyverno/install-v1.18.2.json"),
    include_str!("facts/kyverno/install-v1.13.6.json"),
    include_str!("facts/kyverno/chart-v1.18.2.json"),
];
