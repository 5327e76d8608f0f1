//! Installs of cert-manager.

pub const FACTS: &[&str] = &[
    include_str!("facts/cert_manager/chart-bitnami-cert-manager-1.5.15.json"),
    include_str!("facts/cert_manager/chart-v1.16.5.json"),
    include_str!("facts/cert_manager/chart-v1.21.1.json"),
    include_str!("facts/cert_manager/install-v1.16.5.json"),
    include_str!("facts/cert_manager/install-v1.21.1.json"),
];
