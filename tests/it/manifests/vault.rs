//! Installs of Vault.

pub const FACTS: &[&str] = &[
    include_str!("facts/vault/helm-v0.34.1.json"),
    include_str!("facts/vault/helm-v0.28.1.json"),
    include_str!("facts/vault/chart-v0.34.1-ha.json"),
];
