//! Installs of Sealed Secrets.

pub const FACTS: &[&str] = &[
    include_str!("facts/sealed_secrets/chart-2.18.4.json"),
    include_str!("facts/sealed_secrets/controller-v0.20.5.json"),
    include_str!("facts/sealed_secrets/controller-v0.36.6.json"),
];
