//! Installs of ExternalDNS.

pub const FACTS: &[&str] = &[
    include_str!("facts/external_dns/chart-1.21.1.json"),
    include_str!("facts/external_dns/kustomize-v0.15.1.json"),
    include_str!("facts/external_dns/kustomize-v0.22.0.json"),
];
